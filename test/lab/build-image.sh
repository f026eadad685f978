#!/bin/sh
# Makes the disk image that every lab machine starts from: a Debian 12 with systemd, logind,
# sshd and sudo, small and without anything that the tests would have to wait for.
#
# usage: build-image.sh DIR SUITE MIRROR
# Leaves DIR/root.img (ext4), DIR/id_ed25519 (logs in as root and as ci), DIR/host_key.pub.
# The image's cache key is the hash of this file: whatever changes the image belongs in here.
set -eu

dir=$1 suite=$2 mirror=$3
# What the guard may rely on, plus what the tests themselves call inside (getfattr, setfacl).
packages=systemd,systemd-sysv,dbus,libpam-systemd,openssh-server,sudo,attr,acl,procps,iproute2

work=$(mktemp -d "$dir/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root
chmod 755 "$work"

# No documentation, and no fsync per file while building: a build that dies is built again.
mmdebstrap --quiet --variant=minbase --include="$packages" \
  --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --dpkgopt=force-unsafe-io \
  "$suite" "$root" "$mirror"

# No registry address stays inside: a test that wants a mirror brings its own.
rm -f "$root/etc/apt/sources.list" "$root"/etc/apt/sources.list.d/*
rm -f "$root/etc/dpkg/dpkg.cfg.d/99mmdebstrap"
: > "$root/etc/resolv.conf"
echo lab > "$root/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 lab\n' > "$root/etc/hosts"
# An empty id would mean a first boot, with its presets, each time.
systemd-machine-id-setup --root="$root" > /dev/null 2>&1

# The lab's point: nothing of a login outlives it, not even of root's (exempt by default).
mkdir -p "$root/etc/systemd/logind.conf.d" "$root/etc/systemd/journald.conf.d"
printf '[Login]\nKillUserProcesses=yes\nKillExcludeUsers=nobody\n' \
  > "$root/etc/systemd/logind.conf.d/lab.conf"
# A machine that is killed must be able to say afterwards what it did.
printf '[Journal]\nStorage=persistent\nSyncIntervalSec=1s\n' \
  > "$root/etc/systemd/journald.conf.d/lab.conf"
mkdir -p "$root/var/log/journal"

# Address lookups wait for a name server that is not there; the rest is sshd's default,
# ClientAliveInterval 0 above all: a half-open client is never noticed.
printf 'UseDNS no\nMaxStartups 100\n' > "$root/etc/ssh/sshd_config.d/lab.conf"

chroot "$root" useradd --create-home --shell /bin/bash ci
ssh-keygen -q -t ed25519 -N '' -C savepoint-lab -f "$dir/id_ed25519"
cp "$root/etc/ssh/ssh_host_ed25519_key.pub" "$dir/host_key.pub"
for home in root home/ci; do
  mkdir -p "$root/$home/.ssh"
  cp "$dir/id_ed25519.pub" "$root/$home/.ssh/authorized_keys"
  chmod 700 "$root/$home/.ssh"
  chmod 600 "$root/$home/.ssh/authorized_keys"
done
chroot "$root" chown -R ci:ci /home/ci

# A machine with a kernel of its own sets up its link itself, from what the test wrote there;
# a container's link is set up from outside.
cat > "$root/etc/systemd/system/lab-link.service" << 'UNIT'
[Unit]
Description=Address of the lab's link
DefaultDependencies=no
ConditionPathExists=/etc/lab-address
ConditionVirtualization=!container
After=systemd-remount-fs.service
Before=network-pre.target sysinit.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'read -r a < /etc/lab-address && ip address add "$$a" dev vec0 && ip link set vec0 up'
[Install]
WantedBy=sysinit.target
UNIT
systemctl --root="$root" --quiet enable lab-link.service

# Nothing that competes with a test for time or touches files on its own; what looks after
# hardware, users and modules that a lab machine does not have only makes its boot longer.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
  fstrim.timer e2scrub_reap.service systemd-networkd.service console-getty.service \
  getty@tty1.service systemd-timesyncd.service systemd-sysusers.service systemd-sysctl.service \
  systemd-modules-load.service modprobe@.service; do
  systemctl --root="$root" --quiet mask "$unit"
done

# 1 GiB leaves room to fill; a small journal makes copies of the image cheap.
truncate -s 1G "$work/root.img"
mkfs.ext4 -q -J size=8 -E lazy_itable_init=0,lazy_journal_init=0 -d "$root" "$work/root.img"
sync "$work/root.img"
mv "$work/root.img" "$dir/root.img"
