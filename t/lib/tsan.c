/*
 * Linked into everything that SANITIZER=thread builds: gcc's thread sanitizer knows pthreads, but not C11's threads, which
 * librdkafka uses. A thread that it did not see made crashes it, a lock that it did not see is a race. In glibc
 * both kinds are the same things under two names.
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

_Static_assert(sizeof(mtx_t) >= sizeof(pthread_mutex_t) && sizeof(cnd_t) >= sizeof(pthread_cond_t),
    "they are the same in glibc");

struct start {
	thrd_start_t run;
	void *arg;
};

static int result(int err)
{
	return err == 0                      ? thrd_success
	    : err == ETIMEDOUT               ? thrd_timedout
	    : err == EBUSY                   ? thrd_busy
	    : err == ENOMEM || err == EAGAIN ? thrd_nomem
					     : thrd_error;
}

static void *begin(void *p)
{
	struct start s = *(struct start *)p;

	free(p);
	return (void *)(intptr_t)s.run(s.arg);
}

int thrd_create(thrd_t *thread, thrd_start_t run, void *arg)
{
	struct start *s = malloc(sizeof(*s));

	*s = (struct start){ run, arg };
	return result(pthread_create(thread, NULL, begin, s));
}

int thrd_join(thrd_t thread, int *status)
{
	void *r;
	int err = pthread_join(thread, &r);

	if (status)
		*status = (int)(intptr_t)r;
	return result(err);
}

int mtx_init(mtx_t *m, int type)
{
	pthread_mutexattr_t attr;
	int err;

	pthread_mutexattr_init(&attr);
	if (type & mtx_recursive)
		pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	err = pthread_mutex_init((pthread_mutex_t *)m, &attr);
	pthread_mutexattr_destroy(&attr);
	return result(err);
}

int mtx_lock(mtx_t *m)
{
	return result(pthread_mutex_lock((pthread_mutex_t *)m));
}

int mtx_unlock(mtx_t *m)
{
	return result(pthread_mutex_unlock((pthread_mutex_t *)m));
}

void mtx_destroy(mtx_t *m)
{
	pthread_mutex_destroy((pthread_mutex_t *)m);
}

int cnd_init(cnd_t *c)
{
	return result(pthread_cond_init((pthread_cond_t *)c, NULL));
}

int cnd_signal(cnd_t *c)
{
	return result(pthread_cond_signal((pthread_cond_t *)c));
}

int cnd_broadcast(cnd_t *c)
{
	return result(pthread_cond_broadcast((pthread_cond_t *)c));
}

int cnd_wait(cnd_t *c, mtx_t *m)
{
	return result(pthread_cond_wait((pthread_cond_t *)c, (pthread_mutex_t *)m));
}

int cnd_timedwait(cnd_t *c, mtx_t *m, const struct timespec *until)
{
	return result(pthread_cond_timedwait((pthread_cond_t *)c, (pthread_mutex_t *)m, until));
}

void cnd_destroy(cnd_t *c)
{
	pthread_cond_destroy((pthread_cond_t *)c);
}
