-- What tags are to do for some seconds besides showing their face: no version, no price.
create table operations (
    operation text primary key,
    tag text not null references tags (tag),
    kind text not null,
    colour text,
    flash text,
    page text,
    seconds bigint not null,
    actor text not null,
    created_at bigint not null,
    until_at bigint not null,
    state text not null,
    reason text not null,
    since bigint not null,
    sendings bigint not null,
    transitions bigint not null
);
create index operations_of_tag on operations (tag, operation);
create index operations_by_state on operations (state, operation);

create table operation_transitions (
    operation text not null references operations (operation),
    step bigint not null,
    at bigint not null,
    actor text not null,
    from_state text,
    to_state text not null,
    reason text not null,
    primary key (operation, step)
);
