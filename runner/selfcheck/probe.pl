# Runs in a box and says what it finds there, `KEY VALUE` a line. It judges nothing: that is the host's part.
# Needs what every image of ours has: perl's base modules, git, coreutils.
#
# From the environment: PROBE_BASE and PROBE_SECRET (commits), PROBE_DISK, PROBE_FILES, PROBE_PIDS (limits).
use strict;
use warnings;
use Errno;
use Fcntl qw(O_CREAT O_WRONLY);
use POSIX ();
use Socket;

$| = 1;
my $MASK = '/workspace/.git';
my %E = $ENV{PROBE_BASE} ? %ENV : die "PROBE_BASE is not set\n";

sub tell_ { my ($key, $value) = @_; $value =~ s/\s+/ /g; print "$key $value\n" }
sub why { my ($name) = grep { $!{$_} } keys %!; return $name || "errno " . ($! + 0) }
sub slurp { my ($file) = @_; open(my $in, '<', $file) or return ''; local $/; my $all = <$in>; return $all // '' }
sub touch { my ($file) = @_; return sysopen(my $made, $file, O_CREAT | O_WRONLY) }

# Says whether something succeeded, or the name of the error with which it failed.
sub attempt { my ($key, $try) = @_; $! = 0; tell_($key, $try->() ? 'done' : why()) }

# Numbers of system calls: asm/unistd_64.h and asm-generic/unistd.h.
my %CALLS = (
    x86_64 => { mount => 165, umount2 => 166, unshare => 272, add_key => 248, keyctl => 250, bpf => 321,
        perf_event_open => 298, userfaultfd => 323, open_by_handle_at => 304, setns => 308, kexec_load => 246 },
    aarch64 => { mount => 40, umount2 => 39, unshare => 97, add_key => 217, keyctl => 219, bpf => 280,
        perf_event_open => 241, userfaultfd => 282, open_by_handle_at => 265, setns => 268, kexec_load => 104 },
);
my %call = %{ $CALLS{ (POSIX::uname())[4] } || {} };
@call{qw(io_uring_setup open_tree move_mount fsopen pidfd_getfd)} = (425, 428, 429, 430, 438);

sub mask {
    touch('/workspace/.probe-other');
    attempt('mask.write', sub { open(my $out, '>>', $MASK) });
    attempt('mask.chmod', sub { chmod(0666, $MASK) });
    attempt('mask.unmount', sub { $call{umount2} && syscall($call{umount2}, $MASK, 2) == 0 });
    my ($over, $place) = ('/tmp', '/workspace');  # perl passes no constants to the kernel
    attempt('mask.cover', sub { $call{mount} && syscall($call{mount}, $over, $place, 0, 4096, 0) == 0 });
    attempt('mask.replace', sub { rename('/workspace/.probe-other', $MASK) });
    attempt('mask.move', sub { rename($MASK, '/workspace/.probe-moved') });
    attempt('mask.remove', sub { unlink($MASK) });
    tell_('mask.says', slurp($MASK) || 'nothing');
    unlink('/workspace/.probe-other');
}

sub base {
    for my $which ('BASE', 'SECRET') {
        my $there = system("git --git-dir=/gitdir cat-file -e $E{\"PROBE_$which\"} 2>/dev/null") == 0;
        tell_('base.' . lc $which, $there ? 'there' : 'absent');
    }
    my @objects = `git --git-dir=/gitdir cat-file --batch-all-objects --batch-check 2>/dev/null`;
    tell_('base.listed', grep({ /^\Q$E{PROBE_SECRET}\E/ } @objects) ? 'secret' : scalar(@objects));
    tell_('base.refs', scalar(my @refs = `git --git-dir=/base for-each-ref 2>/dev/null`));
}

sub calls {
    tell_('calls.known', scalar keys %call);
    my $zero = 0;
    for my $name (sort keys %call) {
        next if $name eq 'mount' || $name eq 'umount2';  # with a target that exists: see the mask
        my $pid = fork();  # some of them change the process that makes them
        if (!defined $pid) { tell_("call.$name", 'untried'); next }
        if ($pid) { waitpid($pid, 0); next }
        my @arguments = $name eq 'unshare' ? (0x10000000) : $name eq 'keyctl' ? (0, -3, 0) : (0, 0, 0, 0, 0);
        @arguments = (1) if $name eq 'userfaultfd';
        attempt("call.$name", sub { syscall($call{$name}, @arguments) >= 0 });
        POSIX::_exit(0);
    }
    my %families = (vsock => [40, SOCK_STREAM, 0], packet => [17, SOCK_DGRAM, 0], alg => [38, 5, 0],
        raw => [AF_INET, SOCK_RAW, 1], netlink_audit => [16, SOCK_RAW, 9], sctp => [AF_INET, SOCK_STREAM, 132]);
    for my $name (sort keys %families) {
        my ($family, $type, $protocol) = @{ $families{$name} };
        attempt("socket.$name", sub { socket(my $made, $family, $type, $protocol) });
    }
}

sub rights {
    my $status = slurp('/proc/self/status');
    while ($status =~ /^(Cap\w+|NoNewPrivs|Seccomp|Uid):\s*(.*)$/mg) { tell_("status.$1", $2) }
    attempt("root$_", sub { touch("$_/probe") || chmod(0777, $_) }) for '/', '/etc', '/usr', '/opt/corral', '/base';
    attempt('root.sysctl', sub { open(my $out, '>', '/proc/sys/kernel/core_pattern') });
}

sub network {
    my @up = grep { $_ ne 'lo' && (hex(slurp("/sys/class/net/$_/flags") || '0x1') & 1) }
        map { /^\s*([^:\s]+):/ ? $1 : () } split /\n/, slurp('/proc/net/dev');
    tell_('network.up', "@up" || 'none');
    my @routes = split /\n/, slurp('/proc/net/route');
    tell_('network.routes', @routes > 1 ? @routes - 1 : 0);
    attempt('network.connect', sub {
        my $out;
        socket($out, AF_INET, SOCK_DGRAM, 0) && connect($out, pack_sockaddr_in(9, inet_aton('192.0.2.1')));
    });
    my @engines = grep { -e } qw(/var/run/docker.sock /run/docker.sock /run/containerd/containerd.sock /run/podman/podman.sock);
    tell_('network.engines', "@engines" || 'none');
}

sub processes {
    my (@children, $limit);
    $limit = 4 * $E{PROBE_PIDS};
    while (@children < $limit) {
        my $pid = fork();
        last if !defined $pid;
        if (!$pid) { sleep(30); POSIX::_exit(0) }
        push @children, $pid;
    }
    tell_('processes.made', scalar @children);
    kill('KILL', @children);
    waitpid($_, 0) for @children;
}

# Twice what it may write and make, and no more: where nothing bounds it, a host's disk is not to be filled.
sub disk {
    for (split /\n/, slurp('/proc/self/mountinfo')) {
        my @parts = split / /;
        tell_("mount.$parts[4]", $parts[5]) if $parts[4] =~ m{^/(workspace|gitdir|home/agent)$};
    }
    my ($written, $made, $block) = (0, 0, 'x' x 1048576);
    open(my $out, '>', '/workspace/.probe-fill');
    while ($written < 2 * $E{PROBE_DISK}) {
        my $more = syswrite($out, $block);
        last if !$more;
        $written += $more;
    }
    close($out);
    unlink('/workspace/.probe-fill');
    mkdir('/workspace/.probe-files');
    while ($made < 2 * $E{PROBE_FILES}) { last if !touch("/workspace/.probe-files/$made"); $made++ }
    tell_('disk.written', $written);
    tell_('disk.made', $made);
    unlink(glob('/workspace/.probe-files/*'));
    rmdir('/workspace/.probe-files');
}

rights();
base();
calls();
network();
processes();
mask();
tell_('probe', 'done');
disk();    # last: where disks are watched, a box may be ended in the middle of it
