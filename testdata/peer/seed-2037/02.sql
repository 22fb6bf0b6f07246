begin;
insert into t1 (k, k2) values (2, 'k2');
commit;
begin;
savepoint s;
update t1 set k = 3, k2 = 'k3' where k = 2 and k2 = 'k2';
commit;
insert into zz_mark values (2);
