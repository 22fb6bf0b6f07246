begin;
insert into t (id, id2, v, b, j, jb, by, x, ta, vc, ia, la, hs, nu, ct, skipped) values (2, 'k2', 1, repeat('x',1300), ('{"a":"'||repeat('y',1300)||'"}')::json, ('{"a":"'||repeat('z',1300)||'"}')::jsonb, repeat('q',1300)::bytea, ('<a>'||repeat('w',1300)||'</a>')::xml, array[repeat('e',1300),null], repeat('v',1300), (select array_agg(i) from generate_series(1,350) i), (select array_agg(i) from generate_series(1,350) i), hstore('k',repeat('h',1300)), repeat('7',3000)::numeric, repeat('c',1300)::citext, repeat('s',1300));
update t set n = 7, d = '2024-02-29', ts = '2024-02-29 12:34:56.789', tz = '2024-02-29 12:34:56.789+02', tm = '12:34:56.5', bo = true, nm = 1.5, u = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', e = 'ok', iv = '1 day', m = '1.50', ip = '10.0.0.1/8', r = '[1,3)', bt = '101', p = '(1,2)', f = 1.5, g = 2.5, dd = 1.5;
update t set v = 2;
commit;
insert into zz_mark values (1);
