update t set v = 4 where id = 1;
delete from t where id = 1;
update t set v = 5, id = 9 where id = 2;
