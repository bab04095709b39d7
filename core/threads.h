/* Runs one function on several threads and waits for all; none outlives the call. */
#ifndef ONEVOICE_THREADS_H
#define ONEVOICE_THREADS_H

#include <pthread.h>
#include <stddef.h>

enum { OV_THREADS_MAX = 64 };

typedef struct {
    void (*work)(void *argument, size_t number);
    void *argument;
    size_t number;
} ov_job;

static inline void *ov_run_job(void *job) {
    ((ov_job *)job)->work(((ov_job *)job)->argument, ((ov_job *)job)->number);
    return NULL;
}

/* work(argument, 0 ... count - 1), the first of them here. Where the system gives no thread, the work is done here too: it must not
 * wait for another part of itself. */
static inline void ov_on_threads(void (*work)(void *argument, size_t number), void *argument, size_t count) {
    pthread_t threads[OV_THREADS_MAX];
    ov_job jobs[OV_THREADS_MAX];
    size_t started = 1;
    if (count > OV_THREADS_MAX) count = OV_THREADS_MAX;
    for (; started < count; started++) {
        jobs[started] = (ov_job){work, argument, started};
        if (pthread_create(&threads[started], NULL, ov_run_job, &jobs[started]) != 0) break;
    }
    work(argument, 0);
    for (size_t i = started; i < count; i++) work(argument, i);
    for (size_t i = 1; i < started; i++) pthread_join(threads[i], NULL);
}

/* The next number of a counter that threads share. */
static inline size_t ov_take_next(size_t *counter) { return __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED); }

#endif
