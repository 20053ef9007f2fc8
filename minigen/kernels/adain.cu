// adain.cu -- adaptive instance normalisation: every plane of every image gets a mean and a spread
// of our choice. For the plane (n,c) with its HW pixels, one thread block computes
//
//     mean = sum(x) / HW       var = sum((x - mean)^2) / HW       rstd = 1 / sqrt(var + eps)
//     xhat = (x - mean) * rstd
//     y    = scale * xhat + shift                                                              (1)
//
// Backward, with g = dL/dy. From (1) alone:
//
//     gshift = sum(g)          gscale = sum(g * xhat)             L's gradient at xhat: scale * g
//
// A pixel x[i] moves xhat in three ways: its own directly (rstd), all through the mean (-rstd / HW)
// and all through rstd (drstd/dx[i] = -rstd^2 * xhat[i] / HW, times x - mean = xhat / rstd). Summed
// over all pixels against scale * g:
//
//     gx = scale * rstd * (g - sum(g) / HW - xhat * sum(g * xhat) / HW)                        (2)
//
// that is: g less its mean, less its component along xhat. scale = 0 and constant planes are no
// special cases; (2) never divides by scale, and eps keeps rstd finite.
//
// The arithmetic is nothing, the memory traffic everything. Each x is needed three times, for the
// mean, for the variance and for y: it is read from memory once and staged in shared memory. Of a
// plane too large for that, the first `staged` packs are kept and the rest is read again.
//
// Options, given by the launcher as -DName=value:
//     Real     float, or double (for gradient checks)
//     PACK     pixels in one read: 4 (16 bytes of float; HW must be a multiple of 4), or 1

#ifndef Real
#define Real float
#define PACK 4
#endif
#define BATCH 2                        // packs that a thread requests before it waits for the first

typedef long long Offset;

struct __align__(PACK == 1 ? sizeof(Real) : 16) Pack {
    Real v[PACK];
};

// The sum of all threads' values, returned to every thread, always added in the same order.
// `slots` has one place a warp and may not be used twice: a slow thread may still be reading it.
__device__ __forceinline__ Real block_sum(Real value, Real* slots)
{
    // Inside a warp: after the step `offset`, each lane holds the sum of 32 / offset lanes.
    for (int offset = 16; offset > 0; offset /= 2)
        value += __shfl_xor_sync(0xffffffffu, value, offset);

    if (threadIdx.x % 32 == 0)
        slots[threadIdx.x / 32] = value;
    __syncthreads();                                     // every warp's sum is in its slot

    Real total = 0;
    for (int warp = 0; warp < blockDim.x / 32; ++warp)
        total += slots[warp];
    return total;
}

// A thread only ever reads the staged packs that it wrote itself, so staging needs no barrier.
// Shared memory serves as a larger register file here.
extern __shared__ Pack stage[];

extern "C" __global__ void __launch_bounds__(512)
adain_forward(const Real* __restrict__ x, const Real* __restrict__ scale,
              const Real* __restrict__ shift, Real* __restrict__ y,
              Real* __restrict__ mean, Real* __restrict__ rstd,
              int pixels, int staged, Real eps)
{
    __shared__ Real slots[2][32];
    const int plane = blockIdx.x;
    const int packs = pixels / PACK;
    const Pack* from = reinterpret_cast<const Pack*>(x + (Offset)plane * pixels);
    Pack* to = reinterpret_cast<Pack*>(y + (Offset)plane * pixels);

    Real sum = 0;
    for (int start = threadIdx.x; start < packs; start += BATCH * blockDim.x) {
        Pack batch[BATCH];
        #pragma unroll
        for (int b = 0; b < BATCH; ++b) {
            const int i = start + b * blockDim.x;
            batch[b] = i < packs ? from[i] : Pack{};     // zeros add nothing
        }
        #pragma unroll
        for (int b = 0; b < BATCH; ++b) {
            const int i = start + b * blockDim.x;
            if (i < staged)
                stage[i] = batch[b];
            for (int k = 0; k < PACK; ++k)
                sum += batch[b].v[k];
        }
    }
    const Real mu = block_sum(sum, slots[0]) / pixels;

    // sum(x^2) - sum(x)^2 / HW would need no second round, and would lose every digit when the mean
    // is large beside the spread.
    Real squares = 0;
    for (int i = threadIdx.x; i < packs; i += blockDim.x) {
        const Pack pack = i < staged ? stage[i] : from[i];
        for (int k = 0; k < PACK; ++k)
            squares += (pack.v[k] - mu) * (pack.v[k] - mu);
    }
    const Real r = 1 / sqrt(block_sum(squares, slots[1]) / pixels + eps);

    const Real slope = scale[plane] * r;
    const Real offset = shift[plane];
    for (int i = threadIdx.x; i < packs; i += blockDim.x) {
        Pack pack = i < staged ? stage[i] : from[i];
        for (int k = 0; k < PACK; ++k)
            pack.v[k] = (pack.v[k] - mu) * slope + offset;
        to[i] = pack;
    }
    if (threadIdx.x == 0) {
        mean[plane] = mu;
        rstd[plane] = r;
    }
}

// Stages two planes: packs [0, staged) of g, then packs [0, staged) of x.
extern "C" __global__ void __launch_bounds__(512)
adain_backward(const Real* __restrict__ g, const Real* __restrict__ x,
               const Real* __restrict__ scale, const Real* __restrict__ mean,
               const Real* __restrict__ rstd, Real* __restrict__ gx,
               Real* __restrict__ gscale, Real* __restrict__ gshift, int pixels, int staged)
{
    __shared__ Real slots[2][32];
    const int plane = blockIdx.x;
    const int packs = pixels / PACK;
    const Pack* from_g = reinterpret_cast<const Pack*>(g + (Offset)plane * pixels);
    const Pack* from_x = reinterpret_cast<const Pack*>(x + (Offset)plane * pixels);
    Pack* to = reinterpret_cast<Pack*>(gx + (Offset)plane * pixels);
    const Real mu = mean[plane];
    const Real r = rstd[plane];

    Real sum_g = 0;
    Real sum_g_xhat = 0;
    for (int start = threadIdx.x; start < packs; start += BATCH * blockDim.x) {
        Pack batch_g[BATCH];
        Pack batch_x[BATCH];
        #pragma unroll
        for (int b = 0; b < BATCH; ++b) {
            const int i = start + b * blockDim.x;
            batch_g[b] = i < packs ? from_g[i] : Pack{}; // g = 0 adds nothing to either sum
            batch_x[b] = i < packs ? from_x[i] : Pack{};
        }
        #pragma unroll
        for (int b = 0; b < BATCH; ++b) {
            const int i = start + b * blockDim.x;
            if (i < staged) {
                stage[i] = batch_g[b];
                stage[staged + i] = batch_x[b];
            }
            for (int k = 0; k < PACK; ++k) {
                sum_g += batch_g[b].v[k];
                sum_g_xhat += batch_g[b].v[k] * ((batch_x[b].v[k] - mu) * r);
            }
        }
    }
    sum_g = block_sum(sum_g, slots[0]);
    sum_g_xhat = block_sum(sum_g_xhat, slots[1]);

    const Real slope = scale[plane] * r;
    const Real mean_g = sum_g / pixels;
    const Real mean_g_xhat = sum_g_xhat / pixels;
    for (int i = threadIdx.x; i < packs; i += blockDim.x) {
        Pack pack = i < staged ? stage[i] : from_g[i];
        const Pack pack_x = i < staged ? stage[staged + i] : from_x[i];
        for (int k = 0; k < PACK; ++k)
            pack.v[k] = slope * (pack.v[k] - mean_g - (pack_x.v[k] - mu) * r * mean_g_xhat);
        to[i] = pack;
    }
    if (threadIdx.x == 0) {
        gscale[plane] = sum_g_xhat;
        gshift[plane] = sum_g;
    }
}
