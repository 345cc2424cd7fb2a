-- Users, phones, calls. One text for SQLite and PostgreSQL: BIGINT milliseconds since 1970, TEXT identifiers.

create table users (
    user_id       text   not null primary key,
    secret_sha256 text   not null,
    created_at    bigint not null
);

create table devices (
    device_id    text   not null primary key,
    user_id      text   not null references users (user_id),
    installation text   not null,
    created_at   bigint not null,
    epoch        bigint,
    hello_at     bigint,
    unique (user_id, installation)
);

create table calls (
    call_id       text   not null primary key,
    rev           bigint not null,
    media         text   not null,
    phase         text   not null,
    reason        text,
    created_at    bigint not null,
    alerted_at    bigint,
    answered_at   bigint,
    ended_at      bigint,
    ring_until    bigint not null,
    reach_until   bigint not null,
    longest_until bigint,
    forget_at     bigint,
    steps         bigint not null
);
create index calls_by_time on calls (created_at);
create index calls_by_phase on calls (phase, forget_at);

-- One user in a call.
create table legs (
    call_id text not null references calls (call_id),
    side    text not null,
    user_id text not null,
    primary key (call_id, side)
);
create index legs_by_user on legs (user_id);

-- One phone in a call.
create table branches (
    call_id        text   not null references calls (call_id),
    side           text   not null,
    device_id      text   not null,
    state          text   not null,
    reason         text,
    client_call_id text,
    sends          bigint not null,
    resend_at      bigint,
    lease_until    bigint,
    primary key (call_id, device_id)
);
create index branches_by_device on branches (device_id);

-- The timeline of a call.
create table transitions (
    call_id   text   not null references calls (call_id),
    seq       bigint not null,
    at        bigint not null,
    way       text   not null,
    device_id text,
    what      text   not null,
    detail    text   not null,
    primary key (call_id, seq)
);
create index transitions_by_time on transitions (at);

-- What remains of a call: one row, when it ends.
create table call_detail_records (
    call_id       text   not null primary key,
    media         text   not null,
    caller        text   not null,
    caller_device text,
    callee        text   not null,
    answered_by   text,
    created_at    bigint not null,
    alerted_at    bigint,
    answered_at   bigint,
    ended_at      bigint not null,
    reason        text   not null
);
create index call_detail_records_by_time on call_detail_records (ended_at);

-- Since when the manager has not heard its phones; one row.
create table hearing (
    id         bigint not null primary key,
    deaf_since bigint
);
