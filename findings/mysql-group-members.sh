#!/usr/bin/env bash
# MySQL's group replication, and what its members tell clients.
#
# Seen with MySQL 9.7.4 on Linux, two members that both take writes.
#
# 1. A member that is killed and started again without joining (group_replication_start_on_boot=OFF) is an ordinary server:
#    super_read_only is 0, and it takes writes, although it lacks what the group has committed. After such a write the group
#    does not take it back ("contains transactions not present in the group").
# 2. An ordinary user cannot read whether a server is ONLINE in its group: performance_schema.replication_group_members is denied
#    (1142), and with REPLICATION CLIENT SHOW REPLICA STATUS refuses the group's channel (3139) and shows no other. But the function
#    group_replication_get_write_concurrency() needs no grant: a member of the majority answers, any other refuses (1123).
# 3. Two transactions on two members that change one row: the second fails at its COMMIT, but not with 1213 (SQLSTATE 40001), which
#    libraries try again. It is 1180 (HY000) where the first arrived while the second was open, and 3101 (40000) where both
#    committed at once, whose text does not speak of a conflict: "Plugin instructed the server to rollback the current transaction".
#    This script shows the first of the two.
#
# This script fails if that changes. It unpacks Debian's packages of MySQL 9.7 with tools/get-databases, and installs nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$(tools/get-databases mysql-9.7 | tail -n 1)/mysql-9.7
libraries=$(echo "$root"/usr/lib/*-linux-gnu*)
folder=$(mktemp -d)
end() { # member, killed
  [ ! -s "$folder/$1.pid" ] || kill -KILL "$(cat "$folder/$1.pid")" 2>/dev/null || true
  rm -f "$folder/$1.pid"
}
finish() { end 1; end 0; rm -rf "$folder"; }
trap finish EXIT

run() { "$libraries"/ld-linux*.so.* --library-path "$libraries" "$root/usr/$1" --no-defaults "${@:2}"; }
as=()
[ "$(id -u)" != 0 ] || as=(--user=root)
common=("--basedir=$root/usr" "--lc-messages-dir=$root/usr/share/mysql" "--character-sets-dir=$root/usr/share/mysql/charsets"
  "--plugin-dir=$root/usr/lib/mysql/plugin" --mysqlx=OFF --secure-file-priv=NULL "${as[@]}")
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
ports=("$(port)" "$(port)") talk=("$(port)" "$(port)")

start() { # member
  run sbin/mysqld "${common[@]}" --datadir="$folder/$1" --socket="$folder/$1.s" --port="${ports[$1]}" --bind-address=127.0.0.1 \
    --server-id=$(($1 + 1)) --gtid-mode=ON --enforce-gtid-consistency=ON --pid-file="$folder/$1.pid" --report-host=127.0.0.1 \
    --plugin-load-add=group_replication.so --loose-group-replication-group-name=6ba7b810-9dad-11d1-80b4-00c04fd430c8 \
    --loose-group-replication-start-on-boot=OFF --loose-group-replication-local-address="127.0.0.1:${talk[$1]}" \
    --loose-group-replication-group-seeds="127.0.0.1:${talk[0]},127.0.0.1:${talk[1]}" \
    --loose-group-replication-single-primary-mode=OFF --loose-group-replication-enforce-update-everywhere-checks=ON >>"$folder/$1.log" 2>&1 &
  disown
  local _
  for _ in $(seq 600); do ! sql "$1" 'SELECT 1' >/dev/null 2>&1 || return 0; sleep 0.1; done
  tail "$folder/$1.log"
  return 1
}
sql() { run bin/mysql --user="${user:-root}" --socket="$folder/$1.s" --skip-column-names --batch --execute="$2" 2>&1; } # member, statements
fails() { # member, error number, statements
  local said
  said=$(sql "$1" "$3") && { echo "this has changed: $3 succeeds: $said"; exit 1; }
  grep -q "^ERROR $2 " <<<"$said" || { echo "this has changed: $said"; exit 1; }
  echo "   $said"
}
is() { [ "$1" = "$2" ] || { echo "this has changed: it is $1, not $2"; exit 1; }; } # value, expected

for m in 0 1; do
  run sbin/mysqld "${common[@]}" --datadir="$folder/$m" --initialize-insecure >"$folder/$m.log" 2>&1
  start $m
  sql $m "CHANGE REPLICATION SOURCE TO SOURCE_USER = 'root' FOR CHANNEL 'group_replication_recovery';
    SET GLOBAL group_replication_recovery_get_public_key = ON; SET GLOBAL group_replication_bootstrap_group = $((1 - m));
    RESET BINARY LOGS AND GTIDS; START GROUP_REPLICATION; SET GLOBAL group_replication_bootstrap_group = 0"
done
sql 0 'SELECT VERSION()'
sql 0 "CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY, v INT); INSERT INTO d.t VALUES (1, 0);
  CREATE USER app@'%'; GRANT ALL ON d.* TO app@'%'; GRANT REPLICATION CLIENT ON *.* TO app@'%'"
for _ in $(seq 300); do [ "$(sql 1 'SELECT COUNT(*) FROM d.t' || true)" != 1 ] || break; sleep 0.1; done

echo 'a conflict, at COMMIT on the second member:'
mkfifo "$folder/in"
run bin/mysql --user=root --socket="$folder/1.s" --batch <"$folder/in" >"$folder/out" 2>&1 &
client=$!
exec 3>"$folder/in"
echo 'BEGIN; UPDATE d.t SET v = 2 WHERE id = 1; SELECT "locked";' >&3
for _ in $(seq 300); do ! grep -q locked "$folder/out" || break; sleep 0.1; done
sql 0 'UPDATE d.t SET v = 1 WHERE id = 1'
echo 'COMMIT;' >&3
exec 3>&-
wait $client || true
grep '^ERROR' "$folder/out"
grep -q '^ERROR 1180 (HY000)' "$folder/out" || { echo 'this has changed'; exit 1; }

echo 'what an ordinary user is told on a member of the group:'
user=app
fails 0 1142 'SELECT * FROM performance_schema.replication_group_members'
fails 0 3139 "SHOW REPLICA STATUS FOR CHANNEL 'group_replication_applier'"
is "$(sql 0 'SELECT group_replication_get_write_concurrency() > 0')" 1
is "$(sql 0 'SHOW REPLICA STATUS')" ''

echo 'and on a member that was started again without its group:'
gone=$(cat "$folder/1.pid")
end 1
while kill -0 "$gone" 2>/dev/null; do sleep 0.1; done
start 1
is "$(sql 1 'SELECT @@super_read_only')" 0
fails 1 1123 'SELECT group_replication_get_write_concurrency()'
sql 1 'INSERT INTO d.t VALUES (2, 0)'
echo '   it takes writes'
echo 'as described'
