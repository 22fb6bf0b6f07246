insert into t values (1, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null);
insert into zz_mark values (1);
