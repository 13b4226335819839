-- What the whole must be, when its client has told; NULL: anything.
ALTER TABLE upload ADD COLUMN repr_digest BLOB CHECK (length(repr_digest) = 32);
-- 1: all bytes are not the end; its client says when it is complete.
ALTER TABLE upload ADD COLUMN awaits_end INTEGER NOT NULL DEFAULT 0 CHECK (awaits_end IN (0, 1));
