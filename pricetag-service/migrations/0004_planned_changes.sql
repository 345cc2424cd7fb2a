-- Changes that wait for their time, for a second person, for the end of a pause or of a freeze.
alter table stores add column approval_above_percent bigint;
alter table stores add column frozen_at bigint;
alter table stores add column frozen_by text;
alter table stores add column frozen_reason text;
alter table changes add column hold text not null default '';
alter table changes add column effective_at bigint;
alter table changes add column begun_at bigint;
alter table changes add column approval text not null default 'not_needed';
alter table changes add column approved_by text;
alter table changes add column approved_at bigint;
alter table changes add column paused_by text;
alter table changes add column paused_at bigint;
alter table changes add column judged_from_minor bigint;
update changes set effective_at = created_at, begun_at = created_at, judged_from_minor = from_minor;
