#!/bin/sh
# mmdebstrap's customize hook for the local driver's root filesystem: $1 is the new root.
# The result boots as a system container: no hardware, no first-boot wizard, cloud-init from a NoCloud seed.
set -eu
root=$1

# The same for every machine would be a shared identity: host keys and machine ID are made at first boot.
# Empty, not "uninitialized": that makes systemd run its first-boot pass and systemd-firstboot fail.
: > "$root/etc/machine-id"
rm -f "$root"/etc/ssh/ssh_host_* "$root/etc/hostname" "$root/etc/resolv.conf" "$root/var/lib/dbus/machine-id"
chroot "$root" passwd -q -l root

cat > "$root/etc/cloud/cloud.cfg.d/90-pymachine.cfg" <<'CFG'
# Only what a host without hardware needs, so that it is reachable in two seconds.
datasource_list: [NoCloud, None]
network: {config: disabled}
cloud_init_modules: [bootcmd, write-files, set_hostname, update_etc_hosts, users-groups, ssh]
cloud_config_modules: [runcmd]
cloud_final_modules: [package-update-upgrade-install, write-files-deferred, scripts-user, final-message]
CFG

chroot "$root" systemctl -q enable systemd-networkd.service ssh.service systemd-timesyncd.service
# Timers and units that only cost start-up time, or need what a system container has not got.
chroot "$root" systemctl -q mask \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
    fstrim.timer getty@tty1.service console-getty.service ldconfig.service systemd-hwdb-update.service \
    systemd-journal-catalog-update.service systemd-networkd-wait-online.service systemd-pstore.service \
    systemd-update-done.service

rm -rf "$root"/var/lib/cloud/instances "$root"/var/lib/cloud/instance
