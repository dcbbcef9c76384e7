/* How kernels are helped by other threads: what the library of the pool gives to them. */
typedef void piece_function(void *, int64_t);

typedef struct {
    /* Call a function with data, which may share work with up to so many threads. */
    void (*enter)(void (*)(void *), void *, int64_t);
    /* Within it: call a function with data and the number of each piece of so many, on several
     * threads; returns when all pieces are done. */
    void (*share)(piece_function *, void *, int64_t);
    /* Wait a little for another thread, after so many times before. */
    void (*wait)(int64_t);
} pool;
