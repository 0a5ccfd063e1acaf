/* karat from C, and from every language that calls C: libkarat.so, plain buffers, no exceptions.
 * docs/c.md shows a whole program. C99 and later, C++ too.
 *
 * Errors   Every call that can fail returns a karat_status and, if `error` is not NULL, fills it
 *          with the same status and one line "subject: problem; action". On failure no output is
 *          written (buffers may hold anything) and no handle or text is handed out.
 * Buffers  Row-major, contiguous, little-endian, aligned to their element; inputs are only read.
 *          Arrays of numbers are never copied when they lie as they are needed (f32, BHSD).
 * Types    Named as in golden files: "f32" "f64" "f16" "bf16" "e4m3" "e5m2" "e8m0" "i8" "u8" "i16"
 *          "u16" "i32" "u32" "i64" "u64" "bool". f16 and bf16 are bit patterns in 16-bit words,
 *          e4m3 e5m2 e8m0 codes in bytes.
 * Text     UTF-8. Text handed out as char** belongs to the caller: karat_free_text().
 * Threads  No state is shared between calls: any number of threads may call anything at once. A
 *          handle may be used by several threads as long as none frees it. karat starts threads of
 *          its own where a call takes `threads` (0: all the machine offers); results never depend
 *          on them.
 * HDF5     Files are read and written by a forked child (fork without exec: no other program is
 *          needed), so that a damaged file can hurt nobody.
 */
#ifndef KARAT_KARAT_H
#define KARAT_KARAT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KARAT_API __attribute__((visibility("default")))

/* Values equal the exit codes of the command line. */
typedef enum karat_status {
  KARAT_OK = 0,
  KARAT_STOPPED = 1,      /* the caller's progress function asked for it */
  KARAT_USAGE = 2,        /* an argument, recipe, grid or shape */
  KARAT_INPUT_OUTPUT = 3, /* a file's content, or reading and writing it */
  KARAT_INTERNAL = 4      /* a defect of karat, or no memory left */
} karat_status;

typedef struct karat_error {
  karat_status status;
  char message[1020]; /* one line, cut at a whole character if it is longer */
} karat_error;

/* "0.1.0". */
KARAT_API const char* karat_version(void);
KARAT_API void karat_free_text(char* text);

/* ---- Numbers ------------------------------------------------------------------------------- */

/* Codes of `count` values in `format`: e4m3 e5m2 e8m0 e2m1 int8 int4 (one byte each), f16 bf16
 * (16-bit words). `policy`: NULL is nearest even, saturating, NaN to the all-ones code; else the
 * name of a policy ("torch", "ml_dtypes", "nvidia_satfinite", ...) or a JSON object with any of
 * base (such a name), rounding (nearest_even toward_zero up down nearest_away stochastic),
 * overflow (saturate nan infinity), seed, stream, first (for stochastic: element i draws word
 * first + i of the Philox stream). */
KARAT_API karat_status karat_encode(const float* x, size_t count, const char* format,
                                    const char* policy, void* codes, karat_error* error);
/* Exact values of codes; NaN codes become 0x7FC00000. */
KARAT_API karat_status karat_decode(const void* codes, size_t count, const char* format, float* x,
                                    karat_error* error);

/* A matrix product in the arithmetic of one instruction, chained over k:
 *   d[i][j] = fl(D * fl(scale_a[i] * scale_b[j])), D = the chain over a[i][.] and b[j][.] from
 *   c[i][j].
 * With promote_every = n > 0 the chain restarts from nothing after every n of k and its sum is
 * added to D by fl(D + sum); D then begins as c. Without scales the last product is left out. */
typedef struct karat_scaled_mm_args {
  size_t size;             /* sizeof(karat_scaled_mm_args) */
  const char* instruction; /* "hopper.wgmma.e4m3.f32"; karat_names("instructions") lists them */
  int64_t m, n, k;
  const void* a; /* m x k codes of the instruction's input format: bytes, 16-bit words or f32 */
  const void* b; /* n x k likewise: B stands transposed, as tensor cores want it */
  const float* c;       /* m x n, or NULL for nothing */
  const float* scale_a; /* NULL, one, or m */
  size_t scale_a_count;
  const float* scale_b; /* NULL, one, or n */
  size_t scale_b_count;
  int32_t promote_every; /* 0: never; else a multiple of the instruction's k */
  int32_t threads;
  float* d; /* m x n */
} karat_scaled_mm_args;
KARAT_API karat_status karat_scaled_mm(const karat_scaled_mm_args* args, karat_error* error);

/* ---- Recipes and names --------------------------------------------------------------------- */

/* A kernel as data. Immutable; share it between threads. */
typedef struct karat_recipe karat_recipe;
/* `text`: a preset's name, a path ending in ".json", or a JSON object ("{...}", may name a
 * "base"). */
KARAT_API karat_status karat_recipe_new(const char* text, karat_recipe** recipe,
                                        karat_error* error);
KARAT_API void karat_recipe_free(karat_recipe* recipe);
/* The resolved recipe, every field, as JSON. */
KARAT_API karat_status karat_recipe_json(const karat_recipe* recipe, char** json,
                                         karat_error* error);

/* Why this recipe must be told the grid of its video tokens, as "mask.tile 6,8,8 orders the tokens
 * by it"; *reason is NULL for a recipe that needs none (free it else). */
KARAT_API karat_status karat_recipe_grid_reason(const karat_recipe* recipe, char** reason,
                                                karat_error* error);

/* Which recipe each denoising step runs with (docs/schedules.md), as JSON: {"name", "recipes": one
 * resolved recipe per phase, "steps": the phase of every step}. `text`: a path, or a JSON object
 * ("{...}"). sigma: the noise level of each of the `steps` steps; NULL where no phase asks for it. */
KARAT_API karat_status karat_schedule(const char* text, int32_t steps, const double* sigma,
                                      char** json, karat_error* error);

/* A JSON list of what can be named: "recipes", "instructions", "policies", "formats", "gpus",
 * "models", "workloads". */
KARAT_API karat_status karat_names(const char* what, char** json, karat_error* error);

/* ---- Tensors the library hands out --------------------------------------------------------- */

enum { KARAT_MAX_RANK = 8 };
typedef struct karat_array {
  const void* data;
  const char* type;
  int32_t rank;
  int64_t shape[KARAT_MAX_RANK];
} karat_array;

/* Named arrays and texts in memory of the library. */
typedef struct karat_tensors karat_tensors;
KARAT_API size_t karat_tensors_count(const karat_tensors* tensors);
/* Both live as long as the handle. @pre i < count */
KARAT_API const char* karat_tensors_name(const karat_tensors* tensors, size_t i);
KARAT_API karat_array karat_tensors_array(const karat_tensors* tensors, size_t i);
/* JSON object of texts; never NULL. */
KARAT_API const char* karat_tensors_metadata(const karat_tensors* tensors);
KARAT_API void karat_tensors_free(karat_tensors* tensors);

/* ---- Attention ----------------------------------------------------------------------------- */

/* What the rows and columns of a given mask count. */
typedef enum karat_mask_order {
  KARAT_TOKENS = 0,   /* tokens in their own order, text behind the video's */
  KARAT_POSITIONS = 1 /* positions of the recipe's order, padding's too (token_at_position of
                       * karat_mask() says which token stands where) */
} karat_mask_order;

/* PyTorch's BlockMask of one head (or all alike). */
typedef struct karat_block_mask {
  int32_t query_block, key_block;   /* BLOCK_SIZE */
  int32_t query_blocks, key_blocks; /* extents of the arrays */
  const int32_t* kv_num_blocks;     /* [query_blocks]: partial blocks; refused without pairs */
  const int32_t* kv_indices;        /* [query_blocks][key_blocks] */
  const int32_t* full_kv_num_blocks; /* both NULL where there are no full blocks */
  const int32_t* full_kv_indices;
} karat_block_mask;

/* Blocks that are kept whole: SpargeAttn's mask_id, with 128 x 64. The last blocks may be short. */
typedef struct karat_block_matrix {
  int32_t query_block, key_block;   /* positions of a block */
  int32_t batch, heads;             /* each 1: for all; else the input's */
  int32_t query_blocks, key_blocks; /* ceil(positions / query_block), ceil(positions / key_block) */
  const uint8_t* kept;              /* [batch][heads][query_blocks][key_blocks], nonzero keeps */
} karat_block_matrix;

/* Returns 0 to go on, anything else to stop: the call then fails with KARAT_STOPPED. Called by the
 * calling thread and by threads of the library, at once, often (many times a second); `total` may
 * change from one part of the work to the next. Without one, NULL. */
typedef int (*karat_progress)(size_t done, size_t total, void* context);

/* What makes q, k and v codes, x = scale * code. */
typedef struct karat_scales {
  /* "e4m3", "e5m2" or "i8": refused unless it is the recipe's format; "u8" takes the recipe's. */
  const char *q_type, *k_type, *v_type;
  const float *q, *k, *v; /* [batch][heads][groups] whatever the layout, k and v of kv_heads */
  int64_t q_groups, k_groups, v_groups; /* as the recipe groups them: as karat_quantise() numbers */
} karat_scales;

/* Q, K, V of any number of heads, alike for every call that takes tensors. */
typedef struct karat_heads {
  const char* type;   /* of q, k and v: "f32", "f16" or "bf16"; every value finite. With scales
                       * nothing reads it */
  const char* layout; /* "BHSD" or "BSHD" */
  int64_t batch, heads;
  int64_t kv_heads; /* heads of k and v, a divisor of heads: query head h reads the one of number
                     * h / (heads / kv_heads). 0: as many as heads */
  int64_t tokens, channels;
  int32_t grid[3]; /* T, H, W with T*H*W + text = tokens; all 0: not said, which recipes that need
                    * a grid refuse (karat_recipe_grid_reason) */
  int32_t text;    /* tokens behind the video's, in the same attention */
  const void *q, *k, *v;
  const karat_scales* scales; /* NULL: q, k and v are values; else one byte a code. Recipes that
                               * smooth, and operands without a scale, take values only */
} karat_heads;

typedef struct karat_attend_args {
  size_t size; /* sizeof(karat_attend_args) */
  const karat_recipe* recipe;
  karat_heads input;
  int32_t threads;
  void* o;    /* the recipe's output type (BF16 with finish.cast before_scale), shape and layout
               * of q; NULL: not wanted */
  const char* o_type; /* the type there is room for in o: refused unless it is that one */
  float* lse; /* [B][H][S], and likewise: */
  float* m;   /* final row maximum, log2 units */
  float* l;   /* final row sum */
  /* In the place of the recipe's mask: a matrix of blocks; or lists of blocks, pairs, or both; all
   * NULL: none. */
  const karat_block_matrix* block_matrix;
  const karat_block_mask* block_mask; /* pairs of partial blocks are kept as `keep` says */
  const uint8_t* keep;                /* [extent][extent], rows are queries, nonzero keeps */
  int64_t keep_positions;             /* extent of keep, tokens or positions */
  karat_mask_order mask_order;        /* of all: KARAT_TOKENS, or KARAT_POSITIONS */
  /* Codes, scales and tapped query blocks ("all", "none", "" eight of them, or "0,5,17") by the
   * names of docs/golden.md: q_codes ... tap.B.H.BLOCK.s; those of k and v have kv_heads heads.
   * NULL: not wanted. */
  const char* taps;
  karat_tensors** stages;
  karat_progress progress; /* NULL, or called with query blocks of the head at work; where small
                            * heads run side by side, with thousandths of all heads */
  void* context;
} karat_attend_args;
KARAT_API karat_status karat_attend(const karat_attend_args* args, karat_error* error);

/* Gradients of q, k and v under d_o, the gradient of o: recipes whose backward.loop is not none.
 * docs/recipes/backward.md states every operation. */
typedef struct karat_backward_args {
  size_t size; /* sizeof(karat_backward_args) */
  const karat_recipe* recipe;
  karat_heads input;
  const void* d_o;      /* shape and layout of q, every value finite */
  const char* d_o_type; /* "f32", "f16" or "bf16" */
  /* The forward's output, shape and layout of q, and its log-sum-exp [B][H][S], as karat_attend
   * writes them. Both or neither: NULL runs the forward first. */
  const void* o;
  const char* o_type; /* "f32", "f16" or "bf16" where that holds every value exactly, else the type
                       * of the recipe's output */
  const float* lse;
  int32_t threads;
  void* dq; /* the recipe's backward.output type; shape and layout of q, and of k and v: */
  void* dk;
  void* dv;                  /* NULL: not wanted */
  const char* gradient_type; /* the type there is room for: refused unless it is that one */
  float* delta;              /* [B][H][S]; NULL: not wanted */
  const karat_block_matrix* block_matrix; /* masks as in karat_attend_args */
  const karat_block_mask* block_mask;
  const uint8_t* keep;
  int64_t keep_positions;
  karat_mask_order mask_order;
  /* Inner stages of tapped blocks, dq_tap.B.H.BLOCK.ds and its like (docs/golden.md). NULL: not
   * wanted. */
  const char* taps;     /* query blocks: "all", "none", "0,5", "" for four of each side */
  const char* key_taps; /* key blocks likewise; NULL: as `taps` where that is no list, else four */
  karat_tensors** stages;
  karat_progress progress; /* NULL, or called with blocks of the pass at work */
  void* context;
} karat_backward_args;
KARAT_API karat_status karat_backward(const karat_backward_args* args, karat_error* error);


/* Attention in f64 on the values as given, [B][H][S][D] and [B][H][S]: over all keys (sparse = 0)
 * or those of the recipe's mask (sparse = 1). Progress in groups of rows of the head at work, or
 * as karat_attend(). */
KARAT_API karat_status karat_truth(const karat_recipe* recipe, const karat_heads* input, int sparse,
                                   int32_t threads, double* o, double* lse,
                                   karat_progress progress, void* context, karat_error* error);

/* Codes and scales of one operand ("q", "k" or "v") as the recipe's kernel makes them from f32,
 * f16 or bf16 values: tensors "codes" (input's shape and layout) and "scale" [B][H][groups];
 * formats without a scale give "codes" alone. The input's q is read, whichever the operand; k and
 * v are not, so kv_heads says nothing: leave it 0 and give the operand's own heads. */
KARAT_API karat_status karat_quantise(const karat_recipe* recipe, const char* operand,
                                      const karat_heads* input, int32_t threads,
                                      karat_tensors** result, karat_error* error);

/* The recipe's mask on a grid as PyTorch's BlockMask arrays over blocks of the reordered sequence:
 * kv_num_blocks [1][1][nQ], kv_indices [1][1][nQ][nK], full_kv_num_blocks, full_kv_indices,
 * token_at_position (-1: padding), position_of_token. Block sizes 0: the recipe's. With `keep`
 * nonzero also "keep", the mask pair by pair, bool [positions][positions]. Metadata: BLOCK_SIZE,
 * grid, density. */
KARAT_API karat_status karat_mask(const karat_recipe* recipe, const int32_t grid[3],
                                  int32_t query_block, int32_t key_block, int keep,
                                  karat_tensors** result, karat_error* error);

/* ---- Files --------------------------------------------------------------------------------- */

/* Tensors of a safetensors, npy or HDF5 file (golden files too), told apart by content. `names` is
 * a JSON list, or NULL for all that can be read; karat_list() says why the others cannot. */
KARAT_API karat_status karat_load(const char* path, const char* names, karat_tensors** result,
                                  karat_error* error);
/* [{"name", "type", "shape", "problem"?}, ...] without reading values. */
KARAT_API karat_status karat_list(const char* path, char** json, karat_error* error);
/* One .npy array, or a .safetensors file; the ending decides. Atomically. `metadata`: a JSON object
 * of texts, or NULL. */
KARAT_API karat_status karat_save(const char* path, const char* const* names,
                                  const karat_array* arrays, size_t count, const char* metadata,
                                  karat_error* error);

/* ---- Golden files -------------------------------------------------------------------------- */

/* Q, K, V made from a seed: tensors q, k, v bf16 [B][H][S][D], metadata "grid" and, behind the
 * video, "text". `workload` is a JSON object with any of kind, head_kind, grid [T,H,W], text,
 * batch, heads, kv_heads (of k and v), head_dim, sigma, seed, model, resolution, and do (true: a
 * gradient of the output beside them, tensor do). */
KARAT_API karat_status karat_generate(const char* workload, int32_t threads, karat_tensors** result,
                                      karat_error* error);
typedef struct karat_make_args {
  size_t size; /* sizeof(karat_make_args) */
  const karat_recipe* recipe;
  karat_heads input;
  uint64_t seed;    /* decides taps and truth rows */
  const char* taps; /* as in karat_attend_args; NULL: eight */
  int32_t threads;
  const char* path;
  const karat_block_matrix* block_matrix;
  const karat_block_mask* block_mask; /* masks and their order as in karat_attend_args; the */
  const uint8_t* keep; /* file holds them, keep by token (docs/golden.md, mask/given) */
  int64_t keep_positions;
  karat_mask_order mask_order;
  karat_progress progress; /* NULL, or called with the share of one head's inputs, attention, sparse
                            * truth, dense truth, one after the other; where small heads run side by
                            * side, with thousandths of all heads */
  void* context;
  const void* d_o; /* gradient of o, as in karat_backward_args: the file then holds the backward of
                    * the same run. NULL: forward alone */
  const char* d_o_type;
  const char* dq_taps;  /* taps of the backward: query blocks, NULL: as `taps` says; */
  const char* dkv_taps; /* key blocks, NULL: as `taps` where that is no list, else four */
} karat_make_args;
/* A golden file of these heads; nothing is left at `path` when the call fails. The summary (NULL:
 * not wanted) has the fields of `karat make --json`. */
KARAT_API karat_status karat_make(const karat_make_args* args, char** summary, karat_error* error);

/* A candidate: a file, or arrays by stage name. */
typedef struct karat_candidate {
  const char* path; /* NULL: the arrays */
  const char* const* names;
  const karat_array* arrays;
  size_t count;
} karat_candidate;
/* Compares stage by stage. The report has the fields of `karat check --json`; "passed" says whether
 * it is a match, "verdict" more: "matches", "undecided" or "differs"; "text" is the report in words,
 * as `karat check` prints it.
 * `options`: NULL or a JSON object with any of layout ("BHSD", "BSHD"), v_layout (of v and v_codes
 * where it differs: "BHSD", "BSHD", "BHDS"), order ("original", "tiled"), batch, head, block
 * (select one), allow (a list of "order", "contraction", "reciprocal": more than exp2 is free),
 * error_ratio (times the golden error against FP64 that a match may have, 1.25), strict (true: every
 * stage must be equal; for recipes whose softmax.exp2 is mufu), threads. A mismatch
 * is a report, not an error. Progress in heads of stages, with calls between
 * where ranges are computed again. */
KARAT_API karat_status karat_check(const char* golden, const karat_candidate* candidate,
                                   const char* options, char** report, karat_progress progress,
                                   void* context, karat_error* error);

/* Which kernel would have produced these bits? The report has the fields of `karat diagnose
 * --json`, hypotheses best first, and "text", what `karat diagnose` prints. `options`: layout,
 * order, batch, head, block and threads of karat_check, and alarm ("outside", "any-bit"), blocks
 * (sampled query blocks, 4), most (hypotheses reported, 10). Progress in hypotheses. */
KARAT_API karat_status karat_diagnose(const char* golden, const karat_candidate* candidate,
                                      const char* options, char** report, karat_progress progress,
                                      void* context, karat_error* error);

/* ---- A kernel's own code ------------------------------------------------------------------- */

/* Runs a kernel's PTX on the CPU. `launch` is a JSON object with the fields kernel, grid, block,
 * cluster, dynamic_shared, parameters and fuse of a launch file (docs/run.md), and outputs (names of
 * tensors), hazards (true: look for them), schedule, seed, limit, threads. The arrays are the
 * launch's tensors by name, copied; `outputs` gets those named. The report has the fields of
 * `karat run --json`: where its "fault" is no null, the kernel went wrong and the outputs are what
 * was written until then. */
KARAT_API karat_status karat_run_ptx(const char* ptx, const char* launch, const char* const* names,
                                     const karat_array* arrays, size_t count,
                                     karat_tensors** outputs, char** report, karat_error* error);

/* ---- Time ---------------------------------------------------------------------------------- */

/* How long a Hopper GPU takes. The question is a JSON object with any of gpu ("H100"), kernel,
 * model, resolution, grid [T,H,W], tokens, batch, heads, kv_heads, head_dim, causal, power (W),
 * varlen, split_keys, backward, steps, forwards, dense_steps, gpus, linear ("bf16", "fp8",
 * "fp8_block"), launch_gap_us, exchange_us, outside_share; the answer has the fields of
 * `karat cost --json`. */
KARAT_API karat_status karat_cost(const karat_recipe* recipe, const char* question, char** answer,
                                  karat_error* error);
/* The same question as pictures: "svg" (Gantt, roofline, occupancy of the forward) or "trace"
 * (Perfetto JSON; with backward, its kernels too). */
KARAT_API karat_status karat_cost_picture(const karat_recipe* recipe, const char* question,
                                          const char* kind, char** text, karat_error* error);

/* A mask on a grid as SVG; query_tile -1 draws the matrix, else what that tile sees in the video.
 * */
KARAT_API karat_status karat_mask_picture(const karat_recipe* recipe, const int32_t grid[3],
                                          int32_t query_tile, char** svg, karat_error* error);

#ifdef __cplusplus
}
#endif

#endif
