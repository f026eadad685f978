#!/bin/sh
# Holds the namespaces of one lab machine and takes everything away again, whatever happened:
# when standard input ends (the test closed it, or the test process died), all processes of the
# machine are killed and its mounts, link, control group and folder are gone when this exits.
#
# usage: holder.sh DIR DISK LINK OUTSIDE INSIDE
#   DIR      folder of the machine, removed at the end
#   DISK     image that is copied to DIR/disk and mounted on DIR/root
#   LINK     name of our end of the machine's network link, free for now
#   OUTSIDE  address of our end, INSIDE of the machine's (host0), both with prefix length
# Prints "ready PID", PID being a process in the machine's mount and network namespaces.
set -eu

# Runs inside the new namespaces. What it mounts is gone with them.
inside() {
  dir=$1 name=$2
  mount -o loop "$dir/disk" "$dir/root"
  # nspawn leaves locks and mount points under /run; here they are nobody else's.
  mount -t tmpfs -o mode=755 tmpfs /run
  # A plain version 2 tree, however this machine has mounted its own.
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  mkdir "/sys/fs/cgroup/$name"
  ip link set lo up
  echo inside
  exec sleep infinity
}
if [ "$1" = inside ]; then
  shift
  inside "$@"
fi

dir=$1 disk=$2 link=$3 outside=$4 inside=$5
group=savepoint-lab-$link

holder=

# Every step is tried, whatever was made so far and whatever became of the step before.
take_away() {
  set +e
  # The link first: a network namespace is taken down some time after its last process.
  ip link del "$link" 2> /dev/null
  tree=/proc/$holder/root/sys/fs/cgroup/$group
  if [ -n "$holder" ] && [ -d "$tree" ]; then
    echo 1 > "$tree/cgroup.kill"
    until grep -q '^populated 0' "$tree/cgroup.events"; do sleep 0.01; done
    find "$tree" -depth -type d -exec rmdir {} +
  fi
  if [ -n "$holder" ]; then
    kill -KILL "$holder"
    wait "$holder" 2> /dev/null
  fi
  rm -rf "$dir"
}
trap take_away EXIT

mkdir "$dir/root"
cp --sparse=always --reflink=auto "$disk" "$dir/disk"
mkfifo "$dir/ready"
unshare --mount --net -- "$0" inside "$dir" "$group" > "$dir/ready" < /dev/null &
holder=$!
read -r _ < "$dir/ready"

ip link add "$link" type veth peer name host0 netns "$holder"
ip address add "$outside" dev "$link"
ip link set "$link" up
nsenter --net="/proc/$holder/ns/net" ip address add "$inside" dev host0
nsenter --net="/proc/$holder/ns/net" ip link set host0 up
echo "ready $holder"

# Nothing is ever written to it: this waits for its end.
read -r _ || true
