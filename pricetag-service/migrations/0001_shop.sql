-- One text for SQLite and PostgreSQL: texts, and whole numbers of 64 bits.
-- Money is in minor units, time in milliseconds since 1970, a flag is 0 or 1, octets are hexadecimal text.

create table stores (
    store text primary key,
    name text not null,
    currency text not null
);

create table access_points (
    device text primary key,
    store text not null references stores (store),
    roster_rev bigint not null,
    epoch bigint not null,
    next_report bigint,
    heard_at bigint,
    tasks_queued bigint not null,
    reports_waiting bigint not null,
    frames_refused bigint not null
);

create table products (
    store text not null references stores (store),
    product text not null,
    name text not null,
    unit text,
    price_minor bigint not null,
    primary key (store, product)
);

create table tags (
    tag text primary key,
    store text not null references stores (store),
    access_point text not null references access_points (device),
    radio_key text not null,
    width bigint not null,
    height bigint not null,
    product text,
    version bigint not null,
    reported bigint not null,
    should_face text,
    should_price_minor bigint,
    shows_version bigint,
    shows_face text,
    shows_price_minor bigint,
    shows_product text,
    shows_at bigint,
    failed_face text,
    failed_reason text,
    removed_at bigint,
    foreign key (store, product) references products (store, product)
);
create index tags_of_access_point on tags (access_point);
create index tags_of_product on tags (store, product);

-- How a tag is; written often, and worth nothing to the audit.
create table tag_health (
    tag text primary key references tags (tag),
    seen_at bigint not null,
    battery_mv bigint not null,
    lqi bigint,
    temperature_c bigint
);

create table tills (
    store text not null references stores (store),
    till text not null,
    cursor_seq bigint not null,
    primary key (store, till)
);

create table changes (
    change text primary key,
    store text not null,
    product text not null,
    from_minor bigint not null,
    to_minor bigint not null,
    reason text,
    actor text not null,
    created_at bigint not null,
    reverts text references changes (change),
    state text not null,
    blocked_by text not null,
    shelf_done_at bigint,
    till_seq bigint,
    published_at bigint,
    applied_at bigint,
    unproven bigint not null,
    ended_at bigint,
    foreign key (store, product) references products (store, product)
);
create index changes_of_product on changes (store, product);
create index changes_on_their_way on changes (ended_at);

-- The prices the tills of a store are given, in order.
create table till_feed (
    store text not null references stores (store),
    seq bigint not null,
    product text not null,
    price_minor bigint not null,
    published_at bigint not null,
    change text references changes (change),
    primary key (store, seq)
);
create index till_feed_of_product on till_feed (store, product, seq);

create table tasks (
    task text primary key,
    tag text not null references tags (tag),
    version bigint not null,
    face text not null,
    store text,
    product text,
    price_minor bigint,
    change text references changes (change),
    created_at bigint not null,
    state text not null,
    reason text not null,
    since bigint not null,
    sendings bigint not null,
    transitions bigint not null,
    unique (tag, version)
);
create index tasks_of_change on tasks (change);
create index tasks_by_state on tasks (state, task);
create index tasks_of_product on tasks (store, product);

create table transitions (
    task text not null references tasks (task),
    step bigint not null,
    at bigint not null,
    actor text not null,
    from_state text,
    to_state text not null,
    reason text not null,
    primary key (task, step)
);

-- Every face that ever went out to a tag: it may be shown until a newer version is confirmed.
create table sent_faces (
    tag text not null references tags (tag),
    version bigint not null,
    face text not null,
    store text,
    product text,
    price_minor bigint,
    sent_at bigint not null,
    primary key (tag, version)
);

-- What tags said they show, for tasks that had ended too.
create table confirmations (
    tag text not null references tags (tag),
    version bigint not null,
    face text not null,
    access_point text not null,
    confirmed_at bigint not null,
    received_at bigint not null,
    primary key (tag, version)
);

-- Rendered faces by content hash; the file is deflated. The content finds the face without drawing it again.
create table faces (
    face text primary key,
    width bigint not null,
    height bigint not null,
    content text not null,
    file text not null,
    created_at bigint not null
);

-- The correlation id of the last transaction: an audit record with a younger one was not carried out.
create table audit_mark (
    id bigint primary key,
    correlation text not null
);
insert into audit_mark (id, correlation) values (1, '');
