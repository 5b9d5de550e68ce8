-- +goose Up
-- States are compressed and sealed: to compress them again is in vain. Beside the row, one costs several times as much.
ALTER TABLE flowbridge_states ALTER COLUMN state SET STORAGE EXTERNAL, SET (toast_tuple_target = 8160);

-- +goose Down
ALTER TABLE flowbridge_states ALTER COLUMN state SET STORAGE EXTENDED, RESET (toast_tuple_target);
