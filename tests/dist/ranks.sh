# What the tests of several ranks share. Source it after check.sh. Every run is marked with a word of its own in its arguments, by which its processes are found.
# SKY_MPIRUN: another mpirun than the first in PATH, of the MPI that the program is built with (mpirun.mpich). SKY_FULL=1: every fault among 2, 3 and 4 ranks,
# where one of these sizes stands for all.
mpirun=${SKY_MPIRUN:-mpirun}
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
unset SKYGEM_RANK SKYGEM_SIZE SKYGEM_CHANNEL

# have_mpi WHAT: true when ranks can be started with mpirun; else says why not.
have_mpi() {
    if "$program" doctor 2>/dev/null | grep -q 'MPI .*not in this program'; then skip "$1" 'this program is built without MPI'; return 1; fi
    if ! command -v "$mpirun" >/dev/null; then skip "$1" "there is no $mpirun (apt install openmpi-bin)"; return 1; fi
}

# More ranks than cores, not bound to them: OpenMPI has to be told, MPICH's family (Hydra) does so by itself.
mpi_options=()
"$mpirun" --version 2>/dev/null | grep -qi 'open *mpi\|open-mpi' && mpi_options=(--oversubscribe --bind-to none)

# launcher NAME SIZE: the command that starts SIZE ranks, in ${start[@]}.
launcher() {
    case $1 in
    launch) start=("$program" launch -n "$2") ;;
    mpirun) start=("$mpirun" "${mpi_options[@]}" -n "$2") ;;
    esac
}

# monotonic seconds, as the programs count them
now() { cut -d ' ' -f 1 /proc/uptime; }
