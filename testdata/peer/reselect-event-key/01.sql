begin;
update t set v = 2;
update t set n = 5 where k = 1;
insert into t values (3, 'y', 1, null, null);
update t set n = 6, big = 'b' where k = 3;
insert into u values (1, null), (null, null);
insert into w values (1, null);
commit;
insert into zz_mark values (1);
