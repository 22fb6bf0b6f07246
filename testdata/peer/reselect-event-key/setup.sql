create table zz_mark (id int primary key);
create table t (k int primary key, a text, v int, n int, big text);
alter table t alter big set storage external;
create table u (a int, n int);
create table w (v int, n int);
insert into t values (1, 'x', 1, null, repeat('b', 3000)), (2, null, 1, null, null);
