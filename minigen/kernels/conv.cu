// conv.cu -- the convolution and its two gradients: three matrix products over matrices that are
// never written to memory ("implicit GEMM").
//
// The convolution of images x (N,C,H,W) with weights w (K,C,R,S), stride (sh,sw), padding (ph,pw):
//
//     y[n,k,p,q]  = sum over c,r,s of  w[k,c,r,s] * x[n,c,i,j],      i = p*sh + r - ph,        (1)
//                                                                    j = q*sw + s - pw
// where x counts as 0 outside the image; y is (N,K,P,Q). Every term joins one element of y, one of
// w and one of x. Summing the same terms over other letters, with the gradient g = dL/dy in the
// place of y, gives both other gradients:
//
//     gx[n,c,i,j] = sum over k,r,s (p,q follow from (1)) of  w[k,c,r,s] * g[n,k,p,q]           (2)
//     gw[k,c,r,s] = sum over n,p,q (i,j follow from (1)) of  g[n,k,p,q] * x[n,c,i,j]           (3)
//
// (2) is also the forward pass of the transposed convolution. Read as  out = A @ B, that is
// out[row,col] = sum over d ("depth") of A[row,d] * B[d,col], they are:
//
//     kernel             row    col        depth d     A from    B from    struct below
//     conv_forward       k      (n,p,q)    (c,r,s)     w         x         Forward
//     conv_input_grad    c      (n,i,j)    (k,r,s)     w         g         InputGrad
//     conv_weight_grad   k      (c,r,s)    (n,p,q)     g         x         WeightGrad
//
// A struct says where the elements of A, B and out lie in memory; `matrix_product`, at the end,
// multiplies. Read the structs first, then the tile picture above `matrix_product`.
//
// Options, given by the launcher as -DName=value:
//     Real           float, or double (for gradient checks)
//     BM, BN, BK     rows, columns and depth of the tile that one block works on
//     SIDE           every thread computes SIDE x SIDE outputs (4 or 8)
// (Names of one letter would not do: -DT=8 breaks the templates of the compiler's own headers.)
//
// Sizes are 32-bit: the launcher makes sure that one image, w, rows, cols and depth are below 2^30.
// Whole arrays may be larger, so the start of an image is a 64-bit offset.

#ifndef Real
#define Real float
#define BM 128
#define BN 128
#define BK 8
#define SIDE 8
#endif
#define THREADS ((BM / SIDE) * (BN / SIDE))

// So many blocks shall fit on a multiprocessor at once: while one waits at a barrier, the others
// compute. Of its 65536 registers, 512 threads can have 128 each.
#define MIN_BLOCKS (512 / THREADS)

typedef long long Offset;

struct Shape {                         // the letters of (1); cuda.py fills it in the same order
    int N, C, H, W;
    int K, R, S;
    int P, Q;
    int sh, sw, ph, pw;
};

// ---- integer arithmetic -------------------------------------------------------------------------

// Division by a number that does not change. A GPU has no instruction for d / n; the compiler emits
// some twenty. But with 2^bits >= n and magic = ceil(2^(31+bits) / n),
//     floor(d / n) = floor(d * magic / 2^(31+bits))      for all 0 <= d < 2^31
// because magic is too large by less than n / 2^(31+bits) of itself, so the quotient by less than
// 1 / n: too little to reach the next whole number. That is one multiplication, of which only the
// high half is kept, and a shift.
struct Divisor {
    int bits;
    unsigned magic;
    __device__ explicit Divisor(int n)
    {
        bits = n > 1 ? 32 - __clz(n - 1) : 0;
        magic = ((1ull << (31 + bits)) + n - 1) / n;
    }
    __device__ int divide(int d) const { return __umulhi(2u * d, magic) >> bits; }
};

struct Index {                         // (channel, r, s) or (image, p, q)
    int outer, y, x;
};

// np.unravel_index(flat, (anything, height, width))
struct Unravel {
    int area, width;
    Divisor by_area, by_width;
    __device__ Unravel(int height, int width)
        : area(height * width), width(width), by_area(height * width), by_width(width) {}
    __device__ Index operator()(int flat) const
    {
        const int outer = by_area.divide(flat);
        const int rest = flat - outer * area;
        const int y = by_width.divide(rest);
        return {outer, y, rest - y * width};
    }
};

// ---- the three problems -------------------------------------------------------------------------
// Each has
//     rows, cols, depth          the sizes of the matrix product
//     at_depth(d), at_col(col)   the letters that a flat index stands for
//     a(row, d, at_depth(d))     the element A[row,d]
//     b(at_depth(d), at_col(col))               B[d,col]
//     out(row, col)              where to write out[row,col]
//     B_ALONG_DEPTH              do neighbours in memory differ in d (true) or in col (false)?

// The x that meets the output pixel `pixel` = (n,p,q) under the kernel element `tap` = (c,r,s).
__device__ __forceinline__ Real padded_x(const Real* x, const Shape& shape, Index pixel, Index tap)
{
    const Real* image = x + (Offset)pixel.outer * (shape.C * shape.H * shape.W);
    const int i = pixel.y * shape.sh + tap.y - shape.ph;
    const int j = pixel.x * shape.sw + tap.x - shape.pw;
    // A negative int is a huge unsigned one: this asks 0 <= i < H and 0 <= j < W.
    const bool inside = (unsigned)i < (unsigned)shape.H && (unsigned)j < (unsigned)shape.W;
    return inside ? image[(tap.outer * shape.H + i) * shape.W + j] : Real(0);
}

struct Forward {
    static constexpr bool B_ALONG_DEPTH = false;         // neighbouring pixels are columns
    const Real* x;
    const Real* w;
    Real* y;
    Shape shape;
    int rows, cols, depth;
    Unravel taps, pixels;

    __device__ Forward(const Real* x, const Real* w, Real* y, const Shape& shape)
        : x(x), w(w), y(y), shape(shape),
          rows(shape.K),
          cols(shape.N * shape.P * shape.Q),
          depth(shape.C * shape.R * shape.S),
          taps(shape.R, shape.S),
          pixels(shape.P, shape.Q) {}

    __device__ Index at_depth(int d) const { return taps(d); }
    __device__ Index at_col(int col) const { return pixels(col); }
    __device__ Real a(int row, int d, Index) const { return w[row * depth + d]; }
    __device__ Real b(Index tap, Index pixel) const { return padded_x(x, shape, pixel, tap); }
    __device__ Real* out(int row, int col) const
    {
        const Index pixel = pixels(col);
        Real* plane = y + ((Offset)pixel.outer * shape.K + row) * (shape.P * shape.Q);
        return plane + pixel.y * shape.Q + pixel.x;
    }
};

struct WeightGrad {
    static constexpr bool B_ALONG_DEPTH = true;          // neighbouring pixels are depths
    const Real* g;
    const Real* x;
    Real* gw;
    Shape shape;
    int rows, cols, depth;
    Unravel taps, pixels;

    __device__ WeightGrad(const Real* g, const Real* x, Real* gw, const Shape& shape)
        : g(g), x(x), gw(gw), shape(shape),
          rows(shape.K),
          cols(shape.C * shape.R * shape.S),
          depth(shape.N * shape.P * shape.Q),
          taps(shape.R, shape.S),
          pixels(shape.P, shape.Q) {}

    __device__ Index at_depth(int d) const { return pixels(d); }
    __device__ Index at_col(int col) const { return taps(col); }
    __device__ Real a(int row, int, Index pixel) const
    {
        const Real* image = g + (Offset)pixel.outer * (shape.K * shape.P * shape.Q);
        return image[(row * shape.P + pixel.y) * shape.Q + pixel.x];
    }
    __device__ Real b(Index pixel, Index tap) const { return padded_x(x, shape, pixel, tap); }
    __device__ Real* out(int row, int col) const { return gw + row * cols + col; }
};

// With stride 2, a pixel i of gx meets only the taps r for which i + ph - r is even: for the others
// (1) has no whole p. Testing each pair would waste half of the work in each dimension. So pixels
// are sorted by phase = (i + ph) mod stride. In one phase, pixel number u and tap number t (that is
// r = phase + t*stride) always meet, at p = first_p + u - t: a convolution without stride.
//
//     stride 2, 3 taps, ph = 0         phase 0: pixels i = 0 2 4 ..., taps r = 0 2
//                                      phase 1: pixels i = 1 3 5 ..., tap  r = 1
struct Phase {                         // of one dimension
    int first_i, pixels;               // pixels i = first_i + u*stride, u < pixels
    int taps;                          // taps   r = phase + t*stride,   t < taps
    int first_p;
    __device__ Phase(int phase, int size, int kernel, int stride, int padding)
    {
        first_i = (phase + stride - padding % stride) % stride;
        pixels = (size - first_i + stride - 1) / stride;
        taps = (kernel - phase + stride - 1) / stride;
        first_p = (first_i + padding - phase) / stride;
    }
};

struct InputGrad {
    static constexpr bool B_ALONG_DEPTH = false;
    const Real* g;
    const Real* w;
    Real* gx;
    Shape shape;
    int phase_y, phase_x;
    Phase py, px;
    int rows, cols, depth;
    Unravel taps, pixels;

    __device__ InputGrad(const Real* g, const Real* w, Real* gx, const Shape& shape, int phase)
        : g(g), w(w), gx(gx), shape(shape),
          phase_y(phase / shape.sw),
          phase_x(phase % shape.sw),
          py(phase_y, shape.H, shape.R, shape.sh, shape.ph),
          px(phase_x, shape.W, shape.S, shape.sw, shape.pw),
          rows(shape.C),
          cols(shape.N * py.pixels * px.pixels),
          depth(shape.K * py.taps * px.taps),            // 0 where stride > kernel: then gx = 0
          taps(max(py.taps, 1), max(px.taps, 1)),
          pixels(max(py.pixels, 1), max(px.pixels, 1)) {}

    __device__ Index at_depth(int d) const { return taps(d); }
    __device__ Index at_col(int col) const { return pixels(col); }
    __device__ Real a(int row, int, Index tap) const
    {
        const int r = phase_y + tap.y * shape.sh;
        const int s = phase_x + tap.x * shape.sw;
        return w[((tap.outer * shape.C + row) * shape.R + r) * shape.S + s];
    }
    __device__ Real b(Index tap, Index pixel) const
    {
        const Real* image = g + (Offset)pixel.outer * (shape.K * shape.P * shape.Q);
        const int p = py.first_p + pixel.y - tap.y;
        const int q = px.first_p + pixel.x - tap.x;
        const bool inside = (unsigned)p < (unsigned)shape.P && (unsigned)q < (unsigned)shape.Q;
        return inside ? image[(tap.outer * shape.P + p) * shape.Q + q] : Real(0);
    }
    __device__ Real* out(int row, int col) const
    {
        const Index pixel = pixels(col);
        const int i = py.first_i + pixel.y * shape.sh;
        const int j = px.first_i + pixel.x * shape.sw;
        Real* plane = gx + ((Offset)pixel.outer * shape.C + row) * (shape.H * shape.W);
        return plane + i * shape.W + j;
    }
};

// ---- the matrix product -------------------------------------------------------------------------
// A block computes BM x BN outputs. It walks along the depth, BK at a time: the threads together
// copy a BM x BK piece of A and a BK x BN piece of B to shared memory, then each multiplies what it
// needs. An element so fetched from memory once is used BN (or BM) times.
//
//                            BN columns
//                         +---------------+
//                     BK  |    tile.b     |        <- moves down along d
//                         +---------------+
//               BK               |
//            +------+     +------v--------+
//            |      |     | 4x4 .  4x4 .  |   A thread with SIDE = 8 owns four 4x4 squares, half a
//       BM   |tile.a|---->|  .  .   .  .  |   tile apart: in between, its neighbours own the next
//      rows  |      |     | 4x4 .  4x4 .  |   columns, so that a warp reads contiguous memory.
//            |      |     |  .  .   .  .  |   Its SIDE * SIDE sums stay in registers to the end.
//            +------+     +---------------+
//
// tile.a lies transposed, [d][row], so that the four rows of a square are one 16-byte read.

struct __align__(16) Tile {
    Real a[BK][BM + 4];                // + 4: the transposed writes hit different memory banks
    Real b[BK][BN + 4];
};

struct __align__(16) Four {
    Real v[4];
};

// The SIDE elements of a line of the tile that one thread needs: runs of four, `step` apart.
__device__ __forceinline__ void read_strip(Real (&to)[SIDE], const Real* line, int start, int step)
{
    #pragma unroll
    for (int i = 0; i < SIDE; i += 4) {
        const Four four = *reinterpret_cast<const Four*>(line + start + i / 4 * step);
        #pragma unroll
        for (int k = 0; k < 4; ++k)
            to[i + k] = four.v[k];
    }
}

template <class Problem>
__device__ __forceinline__ void matrix_product(const Problem& problem, Tile& tile,
                                               int d_begin, int d_end)
{
    const int tid = threadIdx.x;
    const int row_tiles = (problem.rows + BM - 1) / BM;
    const int row0 = blockIdx.x % row_tiles * BM;        // blocks that share columns run side by
    const int col0 = blockIdx.x / row_tiles * BN;        // side: B comes from the cache
    if (col0 >= problem.cols)                            // phases have unequal numbers of pixels;
        return;                                          // the whole block leaves, before barriers

    // What this thread copies: element number e of its share of A is A[a_row(e), a_d], of B is
    // B[b_d(e), b_col(e)]. Neighbouring threads take neighbours in memory.
    constexpr int A_SHARE = BM * BK / THREADS;
    constexpr int B_SHARE = BN * BK / THREADS;
    constexpr bool ALONG_DEPTH = Problem::B_ALONG_DEPTH;
    const int a_d = tid % BK;
    auto a_row = [&](int e) { return tid / BK + e * (THREADS / BK); };
    auto b_d = [&](int e) { return ALONG_DEPTH ? tid % BK : tid / BN + e * (THREADS / BN); };
    auto b_col = [&](int e) { return ALONG_DEPTH ? tid / BK + e * (THREADS / BK) : tid % BN; };

    Real next_a[A_SHARE];
    Real next_b[B_SHARE];
    auto fetch = [&](int d0) {                           // memory -> registers
        const Index at_a = problem.at_depth(d0 + a_d);
        #pragma unroll
        for (int e = 0; e < A_SHARE; ++e) {
            const int row = row0 + a_row(e);
            const bool inside = row < problem.rows && d0 + a_d < d_end;
            next_a[e] = inside ? problem.a(row, d0 + a_d, at_a) : Real(0);
        }
        #pragma unroll
        for (int e = 0; e < B_SHARE; ++e) {
            const int d = d0 + b_d(e);
            const int col = col0 + b_col(e);
            const bool inside = d < d_end && col < problem.cols;
            next_b[e] = inside ? problem.b(problem.at_depth(d), problem.at_col(col)) : Real(0);
        }
    };

    const int my_row = tid / (BN / SIDE) * 4;            // corner of this thread's first square
    const int my_col = tid % (BN / SIDE) * 4;
    constexpr int ROW_STEP = BM / SIDE * 4;              // from one square to the next
    constexpr int COL_STEP = BN / SIDE * 4;
    Real sum[SIDE][SIDE] = {};

    fetch(d_begin);
    for (int d0 = d_begin; d0 < d_end; d0 += BK) {
        #pragma unroll
        for (int e = 0; e < A_SHARE; ++e)                // registers -> shared memory
            tile.a[a_d][a_row(e)] = next_a[e];
        #pragma unroll
        for (int e = 0; e < B_SHARE; ++e)
            tile.b[b_d(e)][b_col(e)] = next_b[e];
        __syncthreads();                                 // no one reads before all have written

        if (d0 + BK < d_end)
            fetch(d0 + BK);                              // under way while we multiply

        // With 64 sums a thread, unrolling further makes the compiler read so far ahead that sums
        // spill out of the registers. The other warps have work enough to cover the reads.
        #pragma unroll (SIDE == 8 ? 1 : BK)
        for (int d = 0; d < BK; ++d) {
            Real a[SIDE];
            Real b[SIDE];
            read_strip(a, tile.a[d], my_row, ROW_STEP);
            read_strip(b, tile.b[d], my_col, COL_STEP);
            #pragma unroll
            for (int i = 0; i < SIDE; ++i)
                #pragma unroll
                for (int j = 0; j < SIDE; ++j)
                    sum[i][j] += a[i] * b[j];
        }
        __syncthreads();                                 // no one overwrites before all have read
    }

    #pragma unroll
    for (int j = 0; j < SIDE; ++j) {
        const int col = col0 + my_col + j % 4 + j / 4 * COL_STEP;
        #pragma unroll
        for (int i = 0; i < SIDE; ++i) {
            const int row = row0 + my_row + i % 4 + i / 4 * ROW_STEP;
            if (row < problem.rows && col < problem.cols)
                *problem.out(row, col) = sum[i][j];
        }
    }
}

// ---- the kernels --------------------------------------------------------------------------------
// Grid: x = tiles of rows times tiles of columns; z = what is said at each kernel.

extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS)
conv_forward(const Real* __restrict__ x, const Real* __restrict__ w, Real* __restrict__ y,
             const Shape shape)
{
    __shared__ Tile tile;
    const Forward problem(x, w, y, shape);
    matrix_product(problem, tile, 0, problem.depth);
}

extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS)      // z = phase, sh * sw of them
conv_input_grad(const Real* __restrict__ g, const Real* __restrict__ w, Real* __restrict__ gx,
                const Shape shape)
{
    __shared__ Tile tile;
    const InputGrad problem(g, w, gx, shape, blockIdx.z);
    matrix_product(problem, tile, 0, problem.depth);
}

// The output is small and the depth (all pixels of the batch) long. Each z takes a part of the
// depth and writes its own copy of gw; sum_parts then adds the copies in a fixed order. atomicAdd
// would spare the copies, but rounding depends on the order of a sum: no two runs would agree.
extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS)      // z = part of the depth
conv_weight_grad(const Real* __restrict__ g, const Real* __restrict__ x,
                 Real* __restrict__ parts, const Shape shape)
{
    __shared__ Tile tile;
    Real* part = parts + (Offset)blockIdx.z * (shape.K * shape.C * shape.R * shape.S);
    const WeightGrad problem(g, x, part, shape);
    const int length = (problem.depth + gridDim.z - 1) / gridDim.z;
    const int d_begin = min((int)blockIdx.z * length, problem.depth);
    matrix_product(problem, tile, d_begin, min(d_begin + length, problem.depth));
}

extern "C" __global__ void __launch_bounds__(256)
sum_parts(const Real* __restrict__ parts, Real* __restrict__ gw, int count, int number_of_parts)
{
    const int i = blockIdx.x * 256 + threadIdx.x;
    if (i >= count)
        return;
    Real total = 0;
    for (int part = 0; part < number_of_parts; ++part)
        total += parts[(Offset)part * count + i];
    gw[i] = total;
}
