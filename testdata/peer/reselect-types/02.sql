update t set v = 3 where id = 1;
insert into t (id, id2) values (3, 'k3');
insert into zz_mark values (2);
