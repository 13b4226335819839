-- 0: a file of its own; 1: a part of one; 2: made of parts.
ALTER TABLE upload ADD COLUMN kind INTEGER NOT NULL DEFAULT 0 CHECK (kind BETWEEN 0 AND 2);
-- Which parts, as its client has named them.
ALTER TABLE upload ADD COLUMN concat TEXT NOT NULL DEFAULT '';
CREATE INDEX upload_waiting ON upload (id) WHERE state = 0 AND kind = 2;
