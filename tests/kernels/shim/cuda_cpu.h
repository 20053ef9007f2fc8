// cuda_cpu.h -- runs CUDA C kernels on the CPU, for tests. Put before a .cu file, it makes the
// unchanged file a C++17 program for g++.
//
// Every CUDA thread of a block is a fiber: a function with its own stack, which can stop in the
// middle and go on later. A fiber runs until it meets a barrier, a warp shuffle, or its end; then
// the next fiber runs. Everything happens on one CPU thread, blocks one after another. That is one
// of the orders a GPU is free to choose, and it is repeatable. What a GPU merely may do, is done
// here:
//
//   * shared memory is full of NaN when a block starts; dynamic shared memory ends at a guard page
//   * a warp that need not wait runs far ahead of the others (orders REVERSED and RANDOM)
//   * __syncthreads reached by only some threads, or at two different lines, is an error
//   * a warp shuffle waits for exactly the lanes of its mask
#pragma once
#include <csetjmp>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <cmath>
#include <type_traits>
#include <utility>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

// ---- the language -------------------------------------------------------------------------------

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static __attribute__((section("cuda_shared")))     // all in one place

using std::max;
using std::min;
using std::sqrt;

struct uint3 { unsigned x, y, z; };
inline uint3 threadIdx, blockIdx, blockDim, gridDim;

extern "C" {                           // the linker's names for the ends of that section
extern char __start_cuda_shared[] __attribute__((weak, visibility("hidden")));
extern char __stop_cuda_shared[] __attribute__((weak, visibility("hidden")));
}

namespace cuda_cpu {

// ---- fibers -------------------------------------------------------------------------------------

enum State { READY, AT_BARRIER, AT_SHUFFLE, DONE };
enum ErrorCode { OK, BAD_ADDRESS, DIVERGENT_BARRIER, DEADLOCK, BAD_MASK, BAD_INDEX };
enum Order { IN_TURN, REVERSED, RANDOM };

struct Error {
    int code, line;
    uint3 block, thread;
    void* address;
};

struct Fiber {
    ucontext_t first_start;            // makes the stack; later switches use the faster jump buffer
    jmp_buf paused;
    bool started;
    State state;
    int line;                          // of the barrier or shuffle at which it waits
    unsigned mask;                     // of that shuffle
    int parity;                        // of the number of shuffles so far
    uint3 index;
};

constexpr unsigned MAX_THREADS = 1024;
constexpr size_t STACK = 64 * 1024;

inline Fiber fibers[MAX_THREADS];
inline Fiber* current;
inline unsigned threads;               // in this launch's blocks
inline char* stacks;
inline jmp_buf scheduler;
inline Error error;
inline void (*kernel)(void**);
inline void** kernel_arguments;
inline char* dynamic_shared;           // what `extern __shared__ T name[]` means
inline size_t dynamic_bytes;

inline bool fail(ErrorCode code, int line)
{
    error.code = code;
    error.line = line;
    return false;
}

inline void pause(State state, int line)                 // back to the scheduler
{
    current->state = state;
    current->line = line;
    if (!_setjmp(current->paused))
        _longjmp(scheduler, 1);
}

inline void run_fiber()                                  // never returns: blocks reuse their fibers
{
    for (;;) {
        kernel(kernel_arguments);
        pause(DONE, 0);
    }
}

__attribute__((noinline)) inline void resume(Fiber& fiber)
{
    current = &fiber;
    threadIdx = fiber.index;
    if (_setjmp(scheduler))
        return;                                          // the fiber paused
    if (fiber.started)
        _longjmp(fiber.paused, 1);
    fiber.started = true;
    setcontext(&fiber.first_start);
}

inline unsigned linear_index() { return current - fibers; }

// ---- barriers and shuffles ----------------------------------------------------------------------

// Two buffers a warp, used alternately: a lane can be at most one shuffle ahead of another.
alignas(16) inline uint64_t shuffle_slots[MAX_THREADS / 32][2][32];

// Hands in `value`; when all lanes of the mask have, returns lane `source`'s value.
template <class T>
__attribute__((noinline)) inline T shuffle(unsigned mask, T value, int source, int line)
{
    static_assert(sizeof(T) <= 8);
    const int warp = linear_index() / 32;
    const int lane = linear_index() % 32;
    if (!(mask >> lane & 1))
        fail(BAD_MASK, line);
    current->parity ^= 1;
    auto& slots = shuffle_slots[warp][current->parity];
    memcpy(&slots[lane], &value, sizeof(T));
    current->mask = mask;
    pause(AT_SHUFFLE, line);
    if (source >= 0 && source < 32)
        memcpy(&value, &slots[source], sizeof(T));
    return value;
}

// Lets the lanes of a warp go whose whole mask waits at the same shuffle. Were there any?
inline bool release_shuffles(unsigned warp)
{
    const unsigned first = warp * 32;
    bool any = false;
    for (unsigned lane = 0; lane < 32 && first + lane < threads; ++lane) {
        const Fiber asking = fibers[first + lane];
        if (asking.state != AT_SHUFFLE)
            continue;
        bool complete = true;
        for (unsigned other = 0; other < 32; ++other)
            if (asking.mask >> other & 1) {
                if (first + other >= threads)
                    return fail(BAD_MASK, asking.line);
                const Fiber& fiber = fibers[first + other];
                complete &= fiber.state == AT_SHUFFLE && fiber.mask == asking.mask
                            && fiber.line == asking.line;
            }
        if (!complete)
            continue;
        any = true;
        for (unsigned other = 0; other < 32; ++other)
            if (asking.mask >> other & 1)
                fibers[first + other].state = READY;
    }
    return any;
}

// Called when no fiber can run: either all of the block stand at one barrier, or it is an error.
inline bool release_barrier()
{
    unsigned waiting = 0;
    unsigned done = 0;
    int line = 0;
    bool one_line = true;
    for (unsigned i = 0; i < threads; ++i) {
        done += fibers[i].state == DONE;
        if (fibers[i].state != AT_BARRIER)
            continue;
        one_line &= waiting == 0 || fibers[i].line == line;
        line = fibers[i].line;
        ++waiting;
    }
    if (waiting + done < threads)
        return fail(DEADLOCK, line);                     // the others wait at a shuffle, for ever
    if (done > 0 || !one_line)
        return fail(DIVERGENT_BARRIER, line);
    for (unsigned i = 0; i < threads; ++i)
        fibers[i].state = READY;
    return true;
}

// ---- running a block ----------------------------------------------------------------------------

struct Dice {                          // xorshift64: small, and the same everywhere
    uint64_t state;
    unsigned below(unsigned n)
    {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return state % n;
    }
    void shuffle(unsigned* items, unsigned n)
    {
        for (unsigned i = n; i > 1; --i)
            std::swap(items[i - 1], items[below(i)]);
    }
};

// IN_TURN runs every warp once, then starts over. REVERSED (last warp, last lane first) and RANDOM
// let a warp run as far as it can before the next one starts, so a missing barrier shows.
inline bool run_block(Order order, uint64_t seed)
{
    Dice dice{seed * 2654435761u + 88172645463325252u};
    const unsigned warps = (threads + 31) / 32;
    unsigned warp_order[MAX_THREADS / 32];
    unsigned lane_order[32];
    for (unsigned i = 0; i < warps; ++i)
        warp_order[i] = order == REVERSED ? warps - 1 - i : i;
    for (unsigned i = 0; i < 32; ++i)
        lane_order[i] = order == REVERSED ? 31 - i : i;

    memset(__start_cuda_shared, 0xff, __stop_cuda_shared - __start_cuda_shared);     // NaN
    memset(dynamic_shared, 0xff, dynamic_bytes);
    for (unsigned i = 0; i < threads; ++i)
        fibers[i].state = READY;

    for (unsigned done = 0; done < threads;) {
        bool moved = false;
        if (order == RANDOM)
            dice.shuffle(warp_order, warps);
        for (unsigned w = 0; w < warps; ++w) {
            bool again = true;
            while (again) {
                if (order == RANDOM)
                    dice.shuffle(lane_order, 32);
                for (unsigned l = 0; l < 32; ++l) {
                    const unsigned i = warp_order[w] * 32 + lane_order[l];
                    if (i >= threads || fibers[i].state != READY)
                        continue;
                    resume(fibers[i]);
                    done += fibers[i].state == DONE;
                    moved = true;
                }
                again = release_shuffles(warp_order[w]);
                moved |= again;
                again &= order != IN_TURN;
            }
        }
        if (error.code)
            return false;
        if (!moved && done < threads && !release_barrier())
            return false;
    }
    return true;
}

// ---- running a grid -----------------------------------------------------------------------------

inline sigjmp_buf after_fault;

inline void on_signal(int signal, siginfo_t* info, void*)
{
    fail(signal == SIGILL ? BAD_INDEX : BAD_ADDRESS, 0);
    error.address = info->si_addr;
    siglongjmp(after_fault, 1);
}

// While it lives, a bad access ends the launch and not the process.
struct CatchFaults {
    static constexpr int signals[] = {SIGSEGV, SIGBUS, SIGILL};      // SIGILL: -fsanitize=bounds
    struct sigaction before[3];
    stack_t stack_before;
    CatchFaults()
    {
        static char stack[64 * 1024];                    // the fiber's own may be the bad address
        stack_t alternative{};
        alternative.ss_sp = stack;
        alternative.ss_size = sizeof stack;
        sigaltstack(&alternative, &stack_before);
        struct sigaction action{};
        action.sa_sigaction = on_signal;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
        for (int i = 0; i < 3; ++i)
            sigaction(signals[i], &action, &before[i]);
    }
    ~CatchFaults()
    {
        for (int i = 0; i < 3; ++i)
            sigaction(signals[i], &before[i], nullptr);
        sigaltstack(&stack_before, nullptr);
    }
};

inline char* map_pages(size_t bytes)
{
    return (char*)mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

inline bool run_grid(Order order, uint64_t seed, void (*after_block)(unsigned))
{
    const CatchFaults guard;
    const unsigned blocks = gridDim.x * gridDim.y * gridDim.z;
    if (sigsetjmp(after_fault, 1))
        return false;
    for (unsigned i = 0; i < blocks; ++i) {
        const unsigned b = order == REVERSED ? blocks - 1 - i : i;
        blockIdx = {b % gridDim.x, b / gridDim.x % gridDim.y, b / gridDim.x / gridDim.y};
        if (!run_block(order, seed + b))
            return false;
        after_block(b);
    }
    return true;
}

// ---- from Python --------------------------------------------------------------------------------

// A kernel's parameters, 'i' const array, 'o' array it may write, 'v' value; and their sizes.
template <class T>
constexpr char kind_of()
{
    if constexpr (std::is_pointer_v<T>)
        return std::is_const_v<std::remove_pointer_t<T>> ? 'i' : 'o';
    else
        return 'v';
}
template <class... A>
struct Signature {
    static constexpr char kinds[] = {kind_of<A>()..., 0};
    static constexpr int sizes[] = {int(sizeof(A))..., 0};
};
template <class... A>
Signature<A...> signature_of(void (*)(A...));

template <class... A, size_t... I>
void call(void (*function)(A...), void** arguments, std::index_sequence<I...>)
{
    function(*(std::remove_const_t<A>*)arguments[I]...);
}
template <class... A>
void call(void (*function)(A...), void** arguments)
{
    call(function, arguments, std::index_sequence_for<A...>{});
}

}  // namespace cuda_cpu

#define CUDA_CPU_EXPORT extern "C" __attribute__((visibility("default"), used))

#define CUDA_CPU_KERNEL(name)                                                                      \
    CUDA_CPU_EXPORT void run_##name(void** arguments) { cuda_cpu::call(name, arguments); }         \
    CUDA_CPU_EXPORT const char* kinds_##name()                                                     \
    {                                                                                              \
        return decltype(cuda_cpu::signature_of(name))::kinds;                                      \
    }                                                                                              \
    CUDA_CPU_EXPORT const int* sizes_##name()                                                      \
    {                                                                                              \
        return decltype(cuda_cpu::signature_of(name))::sizes;                                      \
    }

CUDA_CPU_EXPORT int cuda_cpu_launch(void (*kernel)(void**), void** arguments, const unsigned* grid,
                                    const unsigned* block, size_t shared_bytes, int order,
                                    uint64_t seed, void (*after_block)(unsigned),
                                    cuda_cpu::Error* report)
{
    using namespace cuda_cpu;
    cuda_cpu::kernel = kernel;
    kernel_arguments = arguments;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    threads = block[0] * block[1] * block[2];
    error = {};

    // The dynamic shared memory ends where a page begins that may not be touched.
    const size_t page = sysconf(_SC_PAGESIZE);
    const size_t body = (shared_bytes + page - 1) / page * page;
    char* pages = map_pages(body + page);
    mprotect(pages + body, page, PROT_NONE);
    dynamic_bytes = shared_bytes;
    dynamic_shared = pages + body - shared_bytes;

    if (!stacks)
        stacks = map_pages(MAX_THREADS * STACK);
    for (unsigned i = 0; i < threads; ++i) {
        Fiber& fiber = fibers[i];
        fiber = {};
        fiber.index = {i % block[0], i / block[0] % block[1], i / block[0] / block[1]};
        getcontext(&fiber.first_start);
        fiber.first_start.uc_stack.ss_sp = stacks + i * STACK;
        fiber.first_start.uc_stack.ss_size = STACK;
        makecontext(&fiber.first_start, run_fiber, 0);
    }

    if (!run_grid((Order)order, seed, after_block)) {
        error.block = blockIdx;
        error.thread = current->index;
    }
    munmap(pages, body + page);
    *report = error;
    return error.code;
}

// ---- device functions ---------------------------------------------------------------------------

#define __syncthreads() cuda_cpu::pause(cuda_cpu::AT_BARRIER, __LINE__)
#define __shfl_xor_sync(mask, value, lanes) \
    cuda_cpu::shuffle(mask, value, (cuda_cpu::linear_index() % 32) ^ (lanes), __LINE__)
#define __shfl_down_sync(mask, value, lanes) \
    cuda_cpu::shuffle(mask, value, (cuda_cpu::linear_index() % 32) + (lanes), __LINE__)
#define __shfl_sync(mask, value, lane) cuda_cpu::shuffle(mask, value, lane, __LINE__)

inline int __clz(int n) { return n ? __builtin_clz(n) : 32; }
inline unsigned __umulhi(unsigned a, unsigned b) { return (uint64_t)a * b >> 32; }
