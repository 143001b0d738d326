#!/usr/bin/env bash
# The paper's Table 2: trains every row, evaluates, prints the paper's numbers beside ours. Options: ../run_table.sh.
#   bash experiments/table2/run.sh DATA_ROOT [options]
exec bash "$(dirname "$0")/../run_table.sh" "$(dirname "$0")" "$@"
