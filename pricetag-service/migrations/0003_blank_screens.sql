-- Since when a tag says that it shows nothing although it confirmed a face.
alter table tags add column blank_since bigint;
