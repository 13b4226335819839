-- How many rows there are of what metrics show and limits compare with, so that a start counts
-- nothing. Triggers keep it, as no statement can forget them.
CREATE TABLE tally (
	name TEXT NOT NULL PRIMARY KEY,
	figure INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO tally (name, figure)
	SELECT 'upload_receiving', count(*) FROM upload WHERE state = 0
	UNION ALL SELECT 'job_queued', count(*) FROM job WHERE state = 0;

CREATE TRIGGER upload_tallied AFTER INSERT ON upload WHEN NEW.state = 0 BEGIN
	UPDATE tally SET figure = figure + 1 WHERE name = 'upload_receiving';
END;
CREATE TRIGGER upload_untallied AFTER DELETE ON upload WHEN OLD.state = 0 BEGIN
	UPDATE tally SET figure = figure - 1 WHERE name = 'upload_receiving';
END;
CREATE TRIGGER upload_retallied AFTER UPDATE OF state ON upload
WHEN (NEW.state = 0) <> (OLD.state = 0) BEGIN
	UPDATE tally SET figure = figure + (NEW.state = 0) - (OLD.state = 0)
		WHERE name = 'upload_receiving';
END;

CREATE TRIGGER job_tallied AFTER INSERT ON job WHEN NEW.state = 0 BEGIN
	UPDATE tally SET figure = figure + 1 WHERE name = 'job_queued';
END;
CREATE TRIGGER job_untallied AFTER DELETE ON job WHEN OLD.state = 0 BEGIN
	UPDATE tally SET figure = figure - 1 WHERE name = 'job_queued';
END;
CREATE TRIGGER job_retallied AFTER UPDATE OF state ON job
WHEN (NEW.state = 0) <> (OLD.state = 0) BEGIN
	UPDATE tally SET figure = figure + (NEW.state = 0) - (OLD.state = 0)
		WHERE name = 'job_queued';
END;
