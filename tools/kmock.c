/*
 * kmock: a Kafka broker for tests and demos: librdkafka's mock cluster in a process of its own.
 *
 * The command of -x runs in its own process group, so that a signal reaches all of a pipeline and
 * nothing of it is left behind when its shell has ended.
 */
#include "buf.h"
#include "log.h"
#include "opt.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TOPIC_MAX 249  /* Kafka's own limit for a topic's name */
#define GRACE_MS  2000 /* what is left of the command has this long to end after TERM */

static int64_t brokers = 1, partitions = 4;
static const char *command;
static char *topics;

static int add_topics(void *ctx, const char *arg)
{
	struct buf b = BUF_INIT;

	if (topics)
		buf_addf(&b, "%s,", topics);
	buf_add_str(&b, arg);
	free(topics);
	topics = xstrdup(buf_cstr(&b));
	buf_release(&b);
	return 0;
}

static const struct opt options[] = {
	{ 't', "topics", "LIST", OPT_CALL, NULL, add_topics,
	    .help = "create these topics: TOPIC[:PARTITIONS],... (may repeat)" },
	{ 'p', "partitions", "N", OPT_INT, &partitions, .min = 1, .max = 10000,
	    .help = "partitions of a topic of -t that does not say (4)" },
	{ 'n', "brokers", "N", OPT_INT, &brokers, .min = 1, .max = 100,
	    .help = "how many brokers the cluster has (1)" },
	{ 'x', "exec", "CMD", OPT_STRING, &command,
	    .help = "run CMD by sh with $SLUICE_BROKERS set and exit with its status" },
};

static const struct opt_tool tool = {
	.name = "kmock",
	.usage = "[-t TOPIC[:PARTITIONS],...] [-p N] [-n BROKERS] [-x CMD]",
	.about = "An embedded Kafka broker: prints its address and waits, or runs a command beside it.",
	.options = options,
	.count = OPT_COUNT(options),
	.footer = "Topics that are not created beforehand come into being on first use, with 4 partitions.\n"
		  "A partition keeps its last 5 MiB.",
};

static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
	note("%s: %s", facility, text);
}

static int create_topic(rd_kafka_mock_cluster_t *cluster, char *spec)
{
	char *colon = strchr(spec, ':');
	int64_t count = partitions;
	rd_kafka_resp_err_t err;
	size_t n;

	if (colon) {
		*colon = '\0';
		if (opt_int(colon + 1, 1, 10000, &count) < 0)
			return fail_context("--topics: %s", spec);
	}
	n = strspn(spec, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
	if (n == 0 || spec[n] || n > TOPIC_MAX)
		return fail(EXIT_USAGE, "--topics: \"%s\" is not a topic's name", spec);
	err = rd_kafka_mock_topic_create(cluster, spec, (int)count, brokers < 3 ? (int)brokers : 3);
	if (err)
		return fail(EXIT_USAGE, "--topics: %s: %s", spec, rd_kafka_err2str(err));
	return 0;
}

static int create_topics(rd_kafka_mock_cluster_t *cluster)
{
	char *next;

	for (char *spec = topics; spec; spec = next) {
		next = strchr(spec, ',');
		if (next)
			*next++ = '\0';
		if (create_topic(cluster, spec) < 0)
			return -1;
	}
	return 0;
}

/* The cluster lives in an otherwise idle producer of its own. */
static rd_kafka_mock_cluster_t *start_cluster(rd_kafka_t **rk)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_mock_cluster_t *cluster;
	char why[512];

	rd_kafka_conf_set_log_cb(conf, on_log);
	*rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
	if (!*rk) {
		fail(EXIT_UNAVAILABLE, "%s", why);
		return NULL;
	}
	cluster = rd_kafka_mock_cluster_new(*rk, (int)brokers);
	if (!cluster) {
		fail(EXIT_UNAVAILABLE, "the mock cluster does not start");
		return NULL;
	}
	if (create_topics(cluster) < 0) {
		rd_kafka_mock_cluster_destroy(cluster);
		return NULL;
	}
	return cluster;
}

static void stop_cluster(rd_kafka_t *rk, rd_kafka_mock_cluster_t *cluster)
{
	if (cluster)
		rd_kafka_mock_cluster_destroy(cluster);
	if (rk)
		rd_kafka_destroy(rk);
}

static void wanted_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGCHLD);
}

/* The command gets the terminal, if it is ours to give: an interactive shell works then. */
static bool own_terminal(void)
{
	return isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) == getpgrp();
}

/* Only async-signal-safe calls between fork and exec: librdkafka's threads are running. */
static pid_t start_command(const sigset_t *old_mask)
{
	bool terminal = own_terminal();
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		return fail_errno(EXIT_IO, "fork");
	if (pid > 0) {
		setpgid(pid, pid);
		return pid;
	}
	setpgid(0, 0);
	signal(SIGTTOU, SIG_IGN);
	if (terminal)
		tcsetpgrp(STDIN_FILENO, getpid());
	signal(SIGTTOU, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, old_mask, NULL);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() == parent)
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(127);
}

/* Ends what the command left in its group; as subreaper we are the parent of all of it. */
static void end_group(pid_t group)
{
	const struct timespec nap = { .tv_nsec = 10 * 1000000 };

	for (int waited = 0; kill(-group, waited < GRACE_MS ? SIGTERM : SIGKILL) == 0; waited += 10) {
		while (waitpid(-group, NULL, WNOHANG) > 0)
			;
		if (waited == GRACE_MS / 2)
			note("what is left of the command does not end on TERM");
		if (waited > 2 * GRACE_MS)
			break;
		nanosleep(&nap, NULL);
	}
}

/* Whether the command has ended; buries also those that outlived their own parents. */
static bool command_ended(pid_t pid, int *status)
{
	pid_t dead;
	int how;

	while ((dead = waitpid(-1, &how, WNOHANG)) > 0) {
		if (dead != pid)
			continue;
		*status = how;
		return true;
	}
	return false;
}

static int run_command(const char *address, const sigset_t *signals, const sigset_t *old_mask)
{
	bool terminal = own_terminal();
	int status = 0, signo;
	pid_t pid;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (setenv("SLUICE_BROKERS", address, 1) < 0 || (pid = start_command(old_mask)) < 0)
		return report();
	while (!command_ended(pid, &status)) {
		signo = sigwaitinfo(signals, NULL);
		if (signo > 0 && signo != SIGCHLD)
			kill(-pid, signo);
	}
	end_group(pid);
	if (terminal) {
		signal(SIGTTOU, SIG_IGN);
		tcsetpgrp(STDIN_FILENO, getpgrp());
	}
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int print_and_wait(const char *address, const sigset_t *signals)
{
	int signo;

	if (dprintf(STDOUT_FILENO, "%s\n", address) < 0) {
		fail_errno(EXIT_IO, "stdout");
		return report();
	}
	do
		signo = sigwaitinfo(signals, NULL);
	while (signo < 0 || signo == SIGCHLD);
	return signo == SIGINT ? EXIT_INT : EXIT_DONE;
}

int main(int argc, char **argv)
{
	static const char *const of_topics[] = { "partitions", NULL };
	rd_kafka_mock_cluster_t *cluster;
	rd_kafka_t *rk = NULL;
	sigset_t signals, old_mask;
	const char *address;
	int code, operand = opt_parse(&tool, argc, argv, &code);

	if (operand < 0)
		return code;
	if (!topics && opt_refuse(of_topics, "needs -t TOPIC") < 0)
		return report();
	if (operand < argc) {
		error("unexpected operand %s (a command goes to -x)", argv[operand]);
		return EXIT_USAGE;
	}
	signal(SIGPIPE, SIG_IGN); /* a client that went away must not end the broker */
	wanted_signals(&signals);
	sigprocmask(SIG_BLOCK, &signals, &old_mask);
	cluster = start_cluster(&rk);
	if (!cluster) {
		code = report();
	} else {
		address = rd_kafka_mock_cluster_bootstraps(cluster);
		code = command ? run_command(address, &signals, &old_mask)
			       : print_and_wait(address, &signals);
	}
	stop_cluster(rk, cluster);
	free(topics);
	return code;
}
