#include "nudge.h"

#include "buf.h"
#include "clock.h"
#include "kafka.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

#define PAUSE_MS 20 /* between two nudges */
#define ASK_MS   500
#define FEW      16 /* a queue that never held more was not full */

struct nudge {
	rd_kafka_t *rk;
	rd_kafka_topic_partition_list_t *list;
	size_t peak; /* most messages queued since the last nudge */
	int64_t last_ms;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool wanted, stop; /* under the lock */
};

static void ask(struct nudge *n)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_copy(n->list);

	for (int i = 0; i < list->cnt; i++)
		list->elems[i].offset = KAFKA_LOG_END;
	rd_kafka_offsets_for_times(n->rk, list, ASK_MS);
	rd_kafka_topic_partition_list_destroy(list);
}

static void *nudger(void *arg)
{
	struct nudge *n = arg;

	pthread_mutex_lock(&n->lock);
	while (!n->stop) {
		if (!n->wanted) {
			pthread_cond_wait(&n->wake, &n->lock);
			continue;
		}
		pthread_mutex_unlock(&n->lock);
		ask(n);
		pthread_mutex_lock(&n->lock);
		n->wanted = false;
	}
	pthread_mutex_unlock(&n->lock);
	return NULL;
}

struct nudge *nudge_open(rd_kafka_t *rk, const rd_kafka_topic_partition_list_t *list)
{
	struct nudge *n = xcalloc(1, sizeof(*n));
	sigset_t all, old;
	int err;

	n->rk = rk;
	n->list = rd_kafka_topic_partition_list_copy(list);
	pthread_mutex_init(&n->lock, NULL);
	pthread_cond_init(&n->wake, NULL);
	sigfillset(&all); /* signals are main's */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&n->thread, NULL, nudger, n);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err == 0)
		return n;
	n->stop = true; /* slower without, and no worse */
	nudge_close(n);
	return NULL;
}

void nudge_close(struct nudge *n)
{
	bool running;

	if (!n)
		return;
	pthread_mutex_lock(&n->lock);
	running = !n->stop;
	n->stop = true;
	pthread_cond_signal(&n->wake);
	pthread_mutex_unlock(&n->lock);
	if (running)
		pthread_join(n->thread, NULL);
	pthread_mutex_destroy(&n->lock);
	pthread_cond_destroy(&n->wake);
	rd_kafka_topic_partition_list_destroy(n->list);
	free(n);
}

void nudge_queued(struct nudge *n, size_t queued)
{
	int64_t now;

	if (!n)
		return;
	if (queued > n->peak)
		n->peak = queued;
	if (n->peak < FEW || queued >= n->peak / 2)
		return;
	now = clock_mono_ms();
	if (now - n->last_ms < PAUSE_MS)
		return;
	n->last_ms = now;
	n->peak = queued;
	pthread_mutex_lock(&n->lock);
	n->wanted = true;
	pthread_cond_signal(&n->wake);
	pthread_mutex_unlock(&n->lock);
}
