/*
 * The stop flag behind signals.h: the process's one handler and the signal it saw. Process-wide by nature.
 */
#include "signals.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t received;

static void on_signal(int number)
{
    if (received && number == SIGINT) _exit(130);
    if (!received) received = number == SIGUSR1 ? SIGTERM : number;
}

sky_status sky_signals_install(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART; /* reads and writes under way go on: the trainer stops between steps */
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGINT, &action, NULL) || sigaction(SIGTERM, &action, NULL) || sigaction(SIGUSR1, &action, NULL))
        return sky_fail_errno("signals", "cannot install the handler");
    return SKY_OK;
}

int sky_signal_received(void)
{
    return received;
}
