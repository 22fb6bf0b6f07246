begin;
savepoint s;
insert into t1 (k, k2) values (1, 'k1');
commit;
insert into zz_mark values (1);
