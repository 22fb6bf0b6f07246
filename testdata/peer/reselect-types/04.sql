insert into zz_mark values (3);
