-- +goose Up
-- A seat is addresses with their calls, which one node has at a time: the owner of its newest epoch. The owner renews
-- its lease, by this database's clock. promised is the node that the owner leaves it to.
CREATE TABLE flowbridge_seats (
    seat        text COLLATE "C" PRIMARY KEY,
    owner       text COLLATE "C" NOT NULL,
    node        text NOT NULL,
    epoch       bigint NOT NULL,
    since       timestamptz NOT NULL,
    renewed_at  timestamptz NOT NULL,
    promised    text NOT NULL DEFAULT '',
    calls       integer NOT NULL DEFAULT 0,
    unprotected integer NOT NULL DEFAULT 0
);

-- The state of each call from its first INVITE to a target on, the record of one that has just ended, and who is
-- registered, all sealed. Rows change once or twice, so pages keep room for that.
CREATE TABLE flowbridge_states (
    seat  text COLLATE "C" NOT NULL,
    id    text COLLATE "C" NOT NULL,
    state bytea NOT NULL,
    PRIMARY KEY (seat, id)
) WITH (fillfactor = 50);

-- A node without a seat has ''. One that stands by has no part of the caps.
ALTER TABLE flowbridge_nodes ADD COLUMN seat text NOT NULL DEFAULT '', ADD COLUMN standby boolean NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE flowbridge_nodes DROP COLUMN seat, DROP COLUMN standby;
DROP TABLE flowbridge_states;
DROP TABLE flowbridge_seats;
