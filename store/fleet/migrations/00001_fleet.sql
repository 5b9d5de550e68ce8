-- +goose Up
-- One row for each finished call of any node. The columns are for queries; record is the whole, as the admin API shows it.
CREATE TABLE flowbridge_calls (
    id                 text COLLATE "C" PRIMARY KEY,
    node               text NOT NULL,
    trunk              text NOT NULL,
    route              text NOT NULL,
    target             text NOT NULL,
    direction          text NOT NULL,
    "from"             text NOT NULL,
    "to"               text NOT NULL,
    lead               text NOT NULL,
    sip_call_id        text NOT NULL,
    target_sip_call_id text NOT NULL,
    synthflow_call_id  text NOT NULL,
    external_id        text NOT NULL,
    trace_id           text NOT NULL,
    started_at         timestamptz NOT NULL,
    answered_at        timestamptz,
    ended_at           timestamptz,
    setup_ms           bigint NOT NULL,
    duration_ms        bigint NOT NULL,
    disposition        text NOT NULL,
    sip_status         integer NOT NULL,
    q850               integer NOT NULL,
    cause              text NOT NULL,
    ended_by           text NOT NULL,
    codec              text NOT NULL,
    record             jsonb NOT NULL,
    stored_at          timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX flowbridge_calls_started ON flowbridge_calls (started_at, id);
CREATE INDEX flowbridge_calls_sip ON flowbridge_calls (sip_call_id);
CREATE INDEX flowbridge_calls_target_sip ON flowbridge_calls (target_sip_call_id) WHERE target_sip_call_id <> '';
CREATE INDEX flowbridge_calls_synthflow ON flowbridge_calls (synthflow_call_id) WHERE synthflow_call_id <> '';
CREATE INDEX flowbridge_calls_external ON flowbridge_calls (external_id) WHERE external_id <> '';

-- One row for each node that was there lately. id is the node's own, made at its first start; name is for people.
CREATE TABLE flowbridge_nodes (
    id         text COLLATE "C" PRIMARY KEY,
    process    text NOT NULL,
    name       text NOT NULL,
    version    text NOT NULL,
    seen_at    timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);

-- What the nodes have of each cap, until expires_at by this database's clock.
CREATE TABLE flowbridge_leases (
    callee     boolean NOT NULL,
    name       text NOT NULL,
    rate       boolean NOT NULL,
    node       text COLLATE "C" NOT NULL REFERENCES flowbridge_nodes (id) ON DELETE CASCADE,
    permits    integer NOT NULL,
    wanted     integer NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (callee, name, rate, node)
);

-- +goose Down
DROP TABLE flowbridge_leases;
DROP TABLE flowbridge_nodes;
DROP TABLE flowbridge_calls;
