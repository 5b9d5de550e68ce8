-- +goose Up
-- The ids of a call that its columns don't have: the Call-IDs of attempts that came to nothing, and a report's own id.
CREATE TABLE flowbridge_other_ids (
    other text COLLATE "C" NOT NULL,
    id    text COLLATE "C" NOT NULL REFERENCES flowbridge_calls (id) ON DELETE CASCADE,
    PRIMARY KEY (other, id)
);

CREATE INDEX flowbridge_other_ids_call ON flowbridge_other_ids (id);

INSERT INTO flowbridge_other_ids (other, id)
    SELECT DISTINCT left(o.other, 600), c.id FROM flowbridge_calls AS c, LATERAL (
        SELECT a ->> 'sip_call_id' AS other FROM jsonb_array_elements(c.record -> 'attempts') AS a
        UNION SELECT c.record -> 'report' ->> 'call_id'
    ) AS o
    WHERE o.other NOT IN ('', c.target_sip_call_id);

-- +goose Down
DROP TABLE flowbridge_other_ids;
