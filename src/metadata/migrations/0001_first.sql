-- Times are ms since 1970 UTC, 0 is none. Ids are 32 hex digits. States are the enums of metadata.h.
-- The indexes on state are partial: a query gets one only by writing the state as a literal.

CREATE TABLE upload (
	id TEXT NOT NULL PRIMARY KEY,
	state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 5),
	length_bytes INTEGER CHECK (length_bytes >= 0), -- NULL while deferred
	offset_bytes INTEGER NOT NULL CHECK (offset_bytes >= 0),
	hash_state BLOB NOT NULL,
	type TEXT NOT NULL,
	filename TEXT NOT NULL,
	metadata TEXT NOT NULL,
	image_id TEXT NOT NULL,
	job_id TEXT NOT NULL,
	refusal INTEGER NOT NULL,
	refusal_detail TEXT NOT NULL,
	key_id TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	owner TEXT NOT NULL,
	lease_until INTEGER NOT NULL,
	epoch INTEGER NOT NULL
) STRICT;
CREATE INDEX upload_receiving ON upload (expires_at) WHERE state = 0;
CREATE INDEX upload_finishing ON upload (updated_at) WHERE state = 1;
CREATE INDEX upload_ended ON upload (updated_at) WHERE state >= 2;

-- `images` counts the rows of image on this blob, so that the sweep finds its work by an index.
CREATE TABLE blob (
	digest BLOB NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
	size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
	type TEXT NOT NULL,
	deleting INTEGER NOT NULL CHECK (deleting IN (0, 1)),
	images INTEGER NOT NULL DEFAULT 0 CHECK (images >= 0),
	created_at INTEGER NOT NULL,
	last_ref_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX blob_unreferenced ON blob (last_ref_at) WHERE images = 0;

CREATE TABLE image (
	id TEXT NOT NULL PRIMARY KEY,
	state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 2),
	digest BLOB NOT NULL REFERENCES blob (digest),
	filename TEXT NOT NULL,
	width INTEGER NOT NULL,
	height INTEGER NOT NULL,
	frames INTEGER NOT NULL,
	orientation INTEGER NOT NULL,
	blurhash TEXT NOT NULL,
	exif TEXT NOT NULL,
	job_id TEXT NOT NULL,
	key_id TEXT NOT NULL,
	created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX image_pending ON image (created_at, id) WHERE state = 0;
CREATE INDEX image_ready ON image (created_at, id) WHERE state = 1;
CREATE INDEX image_failed ON image (created_at, id) WHERE state = 2;
CREATE INDEX image_of_blob ON image (digest, state);
CREATE TRIGGER image_counted AFTER INSERT ON image BEGIN
	UPDATE blob SET images = images + 1 WHERE digest = NEW.digest;
END;
CREATE TRIGGER image_uncounted AFTER DELETE ON image BEGIN
	UPDATE blob SET images = images - 1 WHERE digest = OLD.digest;
END;

CREATE TABLE print (
	source BLOB NOT NULL CHECK (length(source) = 32),
	operations TEXT NOT NULL,
	digest BLOB NOT NULL CHECK (length(digest) = 32),
	size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
	width INTEGER NOT NULL,
	height INTEGER NOT NULL,
	type TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	PRIMARY KEY (source, operations)
) STRICT, WITHOUT ROWID;
CREATE INDEX print_by_digest ON print (digest);

CREATE TABLE job (
	id TEXT NOT NULL PRIMARY KEY,
	kind TEXT NOT NULL,
	state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 4),
	progress REAL NOT NULL,
	attempts INTEGER NOT NULL,
	max_attempts INTEGER NOT NULL,
	version INTEGER NOT NULL,
	upload_id TEXT NOT NULL,
	image_id TEXT NOT NULL,
	response TEXT,
	error TEXT,
	run_at INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	started_at INTEGER NOT NULL,
	finished_at INTEGER NOT NULL,
	owner TEXT NOT NULL,
	lease_until INTEGER NOT NULL,
	token INTEGER NOT NULL,
	request_id TEXT NOT NULL
) STRICT;
CREATE INDEX job_queued ON job (run_at) WHERE state = 0;
CREATE INDEX job_ended ON job (finished_at) WHERE state >= 2;
CREATE INDEX job_by_time ON job (created_at, id);
CREATE INDEX job_by_state ON job (state, created_at, id);

-- What is left of a forgotten job, so that it can be told from one that never was.
CREATE TABLE job_tombstone (
	id TEXT NOT NULL PRIMARY KEY,
	finished_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX job_tombstone_by_time ON job_tombstone (finished_at);
CREATE TRIGGER job_buried AFTER DELETE ON job BEGIN
	INSERT OR REPLACE INTO job_tombstone (id, finished_at) VALUES (OLD.id, OLD.finished_at);
END;

-- An id is never used twice, also after the last rows have been deleted: clients resume from it.
CREATE TABLE event (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	type TEXT NOT NULL,
	image_id TEXT NOT NULL,
	data TEXT NOT NULL,
	created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE api_key (
	id TEXT NOT NULL PRIMARY KEY,
	secret BLOB NOT NULL CHECK (length(secret) = 32),
	scopes INTEGER NOT NULL,
	name TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	revoked_at INTEGER NOT NULL
) STRICT;
CREATE INDEX api_key_by_time ON api_key (created_at);
