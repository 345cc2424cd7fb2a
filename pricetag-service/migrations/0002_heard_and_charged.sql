-- When a till acknowledged last, and what the tills were told a product costs when a change of its price began.
alter table tills add column heard_at bigint;
alter table changes add column charged_minor bigint;
