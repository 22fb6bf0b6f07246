insert into zz_mark values (4);
