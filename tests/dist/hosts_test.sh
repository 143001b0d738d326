#!/usr/bin/env bash
# Two machines: network namespaces with a cable between them, mpirun starting ranks on both through a remote shell that enters the namespace. The sums have the
# bits of one machine; a rank that dies on the other machine, hangs there, or is cut off with its cable ends the run as it does on one. Needs root; says so
# where it cannot be.
source "$(dirname "$0")/../check.sh"
source "$(dirname "$0")/ranks.sh"
a=skygem-a-$$ b=skygem-b-$$ net=10.213.$((RANDOM % 250))

clean_up() {
    ip netns pids "$a" 2>/dev/null | xargs -r kill -KILL 2>/dev/null
    ip netns pids "$b" 2>/dev/null | xargs -r kill -KILL 2>/dev/null
    ip netns del "$a" 2>/dev/null
    ip netns del "$b" 2>/dev/null
    rm -rf "$work"
}
trap clean_up EXIT

have_mpi 'ranks on two machines' || { check_done; exit; }
[ ${#mpi_options[@]} -gt 0 ] || { skip 'ranks on two machines' 'the remote shell is set up for OpenMPI'; check_done; exit; }
if ! { ip netns add "$a" && ip netns add "$b"; } 2>/dev/null; then
    skip 'ranks on two machines' 'network namespaces cannot be made here (root only)'
    check_done
    exit
fi
ip link add veth-a netns "$a" type veth peer name veth-b netns "$b" &&
    ip -n "$a" addr add "$net.1/24" dev veth-a && ip -n "$b" addr add "$net.2/24" dev veth-b &&
    ip -n "$a" link set veth-a up && ip -n "$b" link set veth-b up && ip -n "$a" link set lo up && ip -n "$b" link set lo up ||
    { skip 'ranks on two machines' 'the cable (veth) between namespaces cannot be made here'; check_done; exit; }

# enter NAMESPACE COMMAND...: on that machine, whose name is the namespace's.
enter() { ip netns exec "$1" unshare --uts bash -c 'hostname "$0"; exec "$@"' "$@"; }

# The remote shell: mpirun calls it with a machine's address and a command line. Shells of machines that are cut off end with the test.
cat >"$work/remote" <<SH
#!/bin/bash
while [[ \$1 == -* ]]; do shift; done
[ "\$1" = $net.2 ] || exit 1
shift
exec ip netns exec $b unshare --uts bash -c 'hostname $b; eval "\$0"' "\$*"
SH
chmod +x "$work/remote"
over_two() {
    enter "$a" mpirun --mca plm rsh --mca plm_rsh_agent "$work/remote" --mca btl tcp,self --mca btl_tcp_if_include "$net.0/24" --mca oob_tcp_if_include "$net.0/24" \
        --host "$net.1:2,$net.2:2" --map-by slot --bind-to none -n 4 "$@"
}

run timeout 60 "$program" launch -n 4 "$build/comm_results"
expect_code 0
one_machine=$(sed -n 's/.*: //p' <<<"$out" | sort -u)
export -f over_two enter
export a b net work
run timeout 120 bash -c 'over_two "$@"' over_two "$build/comm_results"
expect_code 0; expect_out 'rank 3 of 4'
expect [ "$(sed -n 's/^rank .*: //p' <<<"$out" | sort -u)" = "$one_machine" ]
# Two ranks on each, indeed.
run timeout 60 bash -c 'over_two "$@"' over_two hostname
expect [ "$(grep -c "^$a\$" "$work/.out")" -eq 2 ]; expect [ "$(grep -c "^$b\$" "$work/.out")" -eq 2 ]

# gone MARK SECONDS: no rank with that word in its arguments is left after so long.
gone() {
    for ((i = 0; i < $2 * 20; i++)); do
        pgrep -f "^$build/comm_faults .*$1" >/dev/null || return 0
        sleep 0.05
    done
    return 1
}
run timeout 60 bash -c 'over_two "$@"' over_two "$build/comm_faults" killed all-reduce 3 5 "$work/killed"
expect_code 5; expect_err 'rank 3: process '; expect_err 'was killed by signal 9 (Killed), in train, step 2'
expect gone "$work/killed" 10
run timeout 60 bash -c 'over_two "$@"' over_two "$build/comm_faults" stalls checkpoint 3 3 "$work/stalls"
expect_code 5; expect_err 'checkpoint, step 3, saved: rank 3 has kept this rank waiting for 3 s'
expect gone "$work/stalls" 10
run timeout 60 bash -c 'over_two "$@"' over_two "$build/comm_faults" fails evaluation 2 10 "$work/fails"
expect_code 3; expect_err 'image.jpg: is not an image'; expect_err 'evaluation, step 6, features: rank 2 has failed'
expect gone "$work/fails" 10

# The cable is pulled while the ranks work: nobody is told, so time must tell, on both sides.
bash -c 'over_two "$@"' over_two "$build/comm_faults" waits all-reduce -1 3 "$work/cut" >"$work/.out" 2>"$work/.err" </dev/null &
for ((i = 0; i < 400; i++)); do
    [ "$(grep -c 'strikes at' "$work/.err")" -ge 4 ] && break
    sleep 0.05
done
expect [ "$(grep -c 'strikes at' "$work/.err")" -ge 4 ]
ip -n "$b" link set veth-b down
expect gone "$work/cut" 16
err=$(cat "$work/.err")
expect_err 'train, step 2, gradients: rank 2 has kept this rank waiting for 3 s'
check_done
