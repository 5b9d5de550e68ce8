-- +goose Up
-- What has registered here, for the next process: the bindings of each trunk, or target, as JSON.
CREATE TABLE registrations (
    holder   TEXT NOT NULL PRIMARY KEY,
    bindings TEXT NOT NULL
) WITHOUT ROWID;

-- +goose Down
DROP TABLE registrations;
