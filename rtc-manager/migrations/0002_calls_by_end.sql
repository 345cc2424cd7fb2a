-- Old calls are deleted in the order of their ends.
create index calls_by_end on calls (ended_at);
