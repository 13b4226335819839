-- To which data directory this database belongs: at most one row.
CREATE TABLE data_directory (
    number INTEGER NOT NULL PRIMARY KEY CHECK (number = 1),
    id TEXT NOT NULL CHECK (length(id) = 32)
) STRICT;
