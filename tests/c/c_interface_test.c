/* What a C program may expect of karat.h. Usage: test_c PART SCRATCH_FOLDER; silent when all is
 * well. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "karat/karat.h"

static int failures = 0;
static karat_error error;
static const char* scratch;

#define EXPECT(condition)                                                                    \
  do {                                                                                       \
    if (!(condition)) {                                                                      \
      ++failures;                                                                            \
      fprintf(stderr, "%s:%d: %s\n    last error: %s\n", __FILE__, __LINE__, #condition,     \
              error.message);                                                                \
    }                                                                                        \
  } while (0)
#define OK(call) EXPECT((call) == KARAT_OK)
/* The call fails with this status and a message that holds the text. */
#define FAILS(call, kind, text)                                           \
  do {                                                                    \
    EXPECT((call) == (kind) && error.status == (kind));                   \
    EXPECT(strstr(error.message, (text)) != NULL);                        \
  } while (0)

static karat_recipe* recipe_of(const char* text) {
  karat_recipe* recipe = NULL;
  OK(karat_recipe_new(text, &recipe, &error));
  return recipe;
}

static const karat_array* find(const karat_tensors* tensors, const char* name, karat_array* array) {
  for (size_t i = 0; i < karat_tensors_count(tensors); ++i)
    if (strcmp(karat_tensors_name(tensors, i), name) == 0) {
      *array = karat_tensors_array(tensors, i);
      return array;
    }
  EXPECT(!"tensor is there");
  memset(array, 0, sizeof *array);
  return NULL;
}

static void path_of(char* path, size_t size, const char* name) {
  snprintf(path, size, "%s/%s", scratch, name);
}

static void test_version(void) {
  int major, minor, patch;
  EXPECT(sscanf(karat_version(), "%d.%d.%d", &major, &minor, &patch) == 3);
}

/* E4M3 by its definition: 448 = 0x7E, 2^-9 = 0x01; 17 lies between 16 (0x58) and 18 (0x59). */
static void test_numbers(void) {
  const float x[] = {448.0f, 0.001953125f, 17.0f, -1.0f, 1000.0f, 0.0f};
  unsigned char codes[6];
  float back[6];
  OK(karat_encode(x, 6, "e4m3", NULL, codes, &error));
  const unsigned char saturated[] = {0x7E, 0x01, 0x58, 0xB8, 0x7E, 0x00};
  EXPECT(memcmp(codes, saturated, 6) == 0);
  OK(karat_decode(codes, 6, "e4m3", back, &error));
  EXPECT(back[0] == 448.0f && back[1] == 0.001953125f && back[2] == 16.0f && back[4] == 448.0f);
  OK(karat_encode(x, 6, "e4m3", "ml_dtypes", codes, &error));
  EXPECT(codes[4] == 0x7F);
  OK(karat_encode(x, 6, "e4m3", "{\"rounding\": \"up\", \"overflow\": \"nan\"}", codes, &error));
  EXPECT(codes[2] == 0x59 && codes[4] == 0x7F);
  unsigned short halves[6];
  OK(karat_encode(x, 6, "bf16", NULL, halves, &error));
  EXPECT(halves[3] == 0xBF80);
  OK(karat_encode(NULL, 0, "e4m3", NULL, NULL, &error));
  FAILS(karat_encode(x, 6, "e4m4", NULL, codes, &error), KARAT_USAGE, "e4m3");
  FAILS(karat_encode(x, 6, "f32", NULL, codes, &error), KARAT_USAGE, "f32");
  FAILS(karat_encode(x, 6, "e4m3", "{\"roundin\": 1}", codes, &error), KARAT_USAGE, "rounding");
  FAILS(karat_encode(NULL, 6, "e4m3", NULL, codes, &error), KARAT_USAGE, "NULL");
}

/* Ones and twos: every sum is exact, so any instruction gives the schoolbook product. A large c
 * shows that FP8 wgmma keeps few bits beside it, and promotion keeps more. */
static void test_product(void) {
  enum { m = 70, n = 3, k = 64 };
  static unsigned char a[m * k], b[n * k];
  static float c[m * n], d[m * n], scale_a[m], scale_b[1] = {0.5f};
  for (int i = 0; i < m * k; ++i) a[i] = i % 3 == 0 ? 0x40 : 0x38; /* 2 or 1 */
  for (int i = 0; i < n * k; ++i) b[i] = i % 5 == 0 ? 0x40 : 0x38;
  for (int i = 0; i < m; ++i) scale_a[i] = (float)(i + 1);
  karat_scaled_mm_args args = {sizeof args, "hopper.wgmma.e4m3.f32", m, n, k, a, b, NULL, scale_a, m,
                               scale_b, 1, 0, 0, d};
  OK(karat_scaled_mm(&args, &error));
  int equal = 1;
  for (int i = 0; i < m; ++i)
    for (int j = 0; j < n; ++j) {
      float sum = 0;
      for (int l = 0; l < k; ++l)
        sum += ((i * k + l) % 3 == 0 ? 2.0f : 1.0f) * ((j * k + l) % 5 == 0 ? 2.0f : 1.0f);
      if (d[i * n + j] != sum * ((float)(i + 1) * 0.5f)) equal = 0;
    }
  EXPECT(equal);
  args.scale_a = args.scale_b = NULL;
  for (int i = 0; i < m * n; ++i) c[i] = 1048576.0f + 0.0625f;
  args.c = c;
  OK(karat_scaled_mm(&args, &error));
  const float chained = d[0];
  args.promote_every = 32;
  OK(karat_scaled_mm(&args, &error));
  EXPECT(chained != d[0]);
  EXPECT(d[0] == floorf(d[0]) + 0.0625f);
  args.promote_every = 33;
  FAILS(karat_scaled_mm(&args, &error), KARAT_USAGE, "multiple");
  args.promote_every = 0;
  args.instruction = "hopper.wgmma.e4m3.f3";
  FAILS(karat_scaled_mm(&args, &error), KARAT_USAGE, "hopper.wgmma.e4m3.f32");
  args.size = 1;
  FAILS(karat_scaled_mm(&args, &error), KARAT_USAGE, "sizeof");
}

static void test_recipes(void) {
  char *json = NULL, *again = NULL;
  karat_recipe* recipe = recipe_of("fpsattention");
  OK(karat_recipe_json(recipe, &json, &error));
  karat_recipe* read = recipe_of(json);
  OK(karat_recipe_json(read, &again, &error));
  EXPECT(strcmp(json, again) == 0 && strstr(json, "\"fpsattention\"") != NULL);
  karat_free_text(json);
  karat_free_text(again);
  karat_recipe_free(recipe);
  karat_recipe_free(read);
  FAILS(karat_recipe_new("fpsatention", &recipe, &error), KARAT_USAGE, "fpsattention");
  FAILS(karat_recipe_new("{\"mask\": {\"kin\": 1}}", &recipe, &error), KARAT_USAGE, "mask.kin");
  FAILS(karat_recipe_new("{", &recipe, &error), KARAT_USAGE, "line 1");
  OK(karat_names("recipes", &json, &error));
  EXPECT(strstr(json, "\"sta_bf16\"") != NULL);
  karat_free_text(json);
  FAILS(karat_names("colours", &json, &error), KARAT_USAGE, "recipes");
}

static void test_schedules(void) {
  karat_error error;
  char* json = NULL;
  OK(karat_schedule("{\"phases\": [{\"until\": 0.4, \"recipe\": \"fa3_bf16\"},"
                    "{\"recipe\": \"sta_bf16\"}]}",
                    5, NULL, &json, &error));
  EXPECT(strstr(json, "\"steps\":[0,0,1,1,1]") != NULL && strstr(json, "\"sta_bf16\"") != NULL);
  karat_free_text(json);
  const char* by_noise =
      "{\"phases\": [{\"sigma_from\": 0.5, \"recipe\": \"fa3_bf16\"},"
      "{\"recipe\": \"sta_bf16\"}]}";
  const double sigma[] = {0.9, 0.5, 0.1};
  OK(karat_schedule(by_noise, 3, sigma, &json, &error));
  EXPECT(strstr(json, "\"steps\":[0,0,1]") != NULL);
  karat_free_text(json);
  FAILS(karat_schedule(by_noise, 3, NULL, &json, &error), KARAT_USAGE, "sigma");
  FAILS(karat_schedule(by_noise, 0, sigma, &json, &error), KARAT_USAGE, "steps");
  FAILS(karat_schedule("{\"phase\": []}", 3, NULL, &json, &error), KARAT_USAGE, "schedule");
}

enum { T = 4, H = 8, W = 8, S = T * H * W, D = 64 };

/* One head of a generated workload in bf16. */
static karat_heads workload(karat_tensors** owner) {
  karat_array q, k, v;
  OK(karat_generate("{\"grid\": [4, 8, 8], \"head_dim\": 64, \"seed\": 7}", 0, owner, &error));
  karat_heads heads = {"bf16", "BHSD", 1, 1, 0, S, D, {T, H, W}, 0, NULL, NULL, NULL, NULL};
  heads.q = find(*owner, "q", &q)->data;
  heads.k = find(*owner, "k", &k)->data;
  heads.v = find(*owner, "v", &v)->data;
  return heads;
}

/* dense_f32 against softmax in double, written down here once more; sums of 256 terms in f32. */
static void test_attention(void) {
  karat_tensors* owner = NULL;
  karat_heads heads = workload(&owner);
  static float q[S * D], k[S * D], v[S * D], o[S * D], lse[S], swapped[S * D];
  OK(karat_decode(heads.q, S * D, "bf16", q, &error));
  OK(karat_decode(heads.k, S * D, "bf16", k, &error));
  OK(karat_decode(heads.v, S * D, "bf16", v, &error));
  karat_recipe* recipe = recipe_of("dense_f32");
  karat_attend_args args;
  memset(&args, 0, sizeof args);
  args.size = sizeof args;
  args.recipe = recipe;
  args.input = heads;
  args.input.type = "f32";
  args.input.q = q;
  args.input.k = k;
  args.input.v = v;
  args.o = o;
  args.o_type = "bf16";
  FAILS(karat_attend(&args, &error), KARAT_USAGE, "f32");
  args.o_type = "f32";
  args.lse = lse;
  OK(karat_attend(&args, &error));
  static double truth[S * D], truth_lse[S];
  OK(karat_truth(recipe, &args.input, 0, 0, truth, truth_lse, NULL, NULL, &error));
  double worst = 0, worst_truth = 0;
  for (int i = 0; i < S; i += 17) {
    double weight[S], sum = 0, most = -1e300;
    for (int j = 0; j < S; ++j) {
      weight[j] = 0;
      for (int c = 0; c < D; ++c) weight[j] += (double)q[i * D + c] * k[j * D + c];
      weight[j] /= sqrt((double)D);
      if (weight[j] > most) most = weight[j];
    }
    for (int j = 0; j < S; ++j) sum += weight[j] = exp(weight[j] - most);
    for (int c = 0; c < D; ++c) {
      double value = 0;
      for (int j = 0; j < S; ++j) value += weight[j] / sum * v[j * D + c];
      worst = fmax(worst, fabs(value - o[i * D + c]));
      worst_truth = fmax(worst_truth, fabs(value - truth[i * D + c]));
    }
    EXPECT(fabs(most + log(sum) - lse[i]) < 1e-5 * fmax(1, fabs(most)));
    EXPECT(fabs(most + log(sum) - truth_lse[i]) < 1e-10);
  }
  EXPECT(worst > 0 && worst < 2e-5);
  EXPECT(worst_truth < 1e-11);
  /* One head is the same in both layouts. */
  args.input.layout = "BSHD";
  args.o = swapped;
  OK(karat_attend(&args, &error));
  EXPECT(memcmp(o, swapped, sizeof o) == 0);
  args.input.grid[0] = 3;
  FAILS(karat_attend(&args, &error), KARAT_USAGE, "grid");
  char* reason = "";
  args.input.grid[0] = args.input.grid[1] = args.input.grid[2] = 0;
  OK(karat_recipe_grid_reason(args.recipe, &reason, &error));
  EXPECT(reason == NULL);
  OK(karat_attend(&args, &error));
  EXPECT(memcmp(o, swapped, sizeof o) == 0);
  q[5] = NAN;
  FAILS(karat_attend(&args, &error), KARAT_USAGE, "channel 5");
  karat_recipe_free(recipe);
  karat_tensors_free(owner);
}

/* Four heads of q on two of k and v, text behind the video: each query head alone, on the head its
 * group shares, has the same bits; stages of k are one per group. */
static void test_groups(void) {
  enum { kHeads = 4, kShared = 2, kText = 20, kTokens = S + kText };
  karat_tensors *owner = NULL, *stages = NULL, *codes = NULL;
  karat_array q, k, v, all, one;
  OK(karat_generate("{\"grid\": [4, 8, 8], \"text\": 20, \"heads\": 4, \"kv_heads\": 2, "
                    "\"head_dim\": 64, \"seed\": 3}",
                    0, &owner, &error));
  EXPECT(strstr(karat_tensors_metadata(owner), "\"text\":\"20\"") != NULL);
  find(owner, "q", &q);
  find(owner, "k", &k);
  find(owner, "v", &v);
  EXPECT(q.shape[1] == kHeads && k.shape[1] == kShared && k.shape[2] == kTokens);
  static unsigned short o[kHeads * kTokens * D], alone[kTokens * D];
  karat_recipe* recipe = recipe_of(
      "{\"base\": \"fpsattention\", \"mask\": {\"tile\": [2, 4, 4], \"window\": [1, 1, 1]}, "
      "\"q\": {\"tile\": [2, 4, 4]}, \"k\": {\"tile\": [2, 4, 4]}}");
  karat_attend_args args = {.size = sizeof args, .recipe = recipe, .o = o, .o_type = "bf16"};
  args.input = (karat_heads){.type = "bf16", .layout = "BHSD", .batch = 1, .heads = kHeads,
                             .kv_heads = kShared, .tokens = kTokens, .channels = D,
                             .grid = {T, H, W}, .text = kText, .q = q.data, .k = k.data,
                             .v = v.data};
  args.stages = &stages;
  OK(karat_attend(&args, &error));
  find(stages, "k_codes", &all);
  EXPECT(all.shape[1] == kShared && all.shape[2] == kTokens);
  karat_heads shared = args.input;
  shared.q = k.data;
  FAILS(karat_quantise(recipe, "k", &shared, 0, &codes, &error), KARAT_USAGE, "one operand");
  shared.heads = kShared;
  shared.kv_heads = 0;
  OK(karat_quantise(recipe, "k", &shared, 0, &codes, &error));
  EXPECT(memcmp(find(codes, "codes", &one)->data, all.data, kShared * kTokens * D) == 0);
  karat_tensors_free(codes);

  karat_attend_args single = args;
  single.stages = NULL;
  single.o = alone;
  single.input.heads = 1;
  single.input.kv_heads = 0;
  for (int h = 0; h < kHeads; ++h) {
    single.input.q = (const unsigned short*)q.data + h * kTokens * D;
    single.input.k = (const unsigned short*)k.data + h / 2 * kTokens * D;
    single.input.v = (const unsigned short*)v.data + h / 2 * kTokens * D;
    OK(karat_attend(&single, &error));
    EXPECT(memcmp(alone, o + h * kTokens * D, sizeof alone) == 0);
  }
  EXPECT(memcmp(o, o + kTokens * D, sizeof alone) != 0);
  args.input.kv_heads = 3;
  FAILS(karat_attend(&args, &error), KARAT_USAGE, "divisor");
  args.input.kv_heads = -2;
  FAILS(karat_attend(&args, &error), KARAT_USAGE, "divisor");
  args.input.kv_heads = 2;
  args.input.text = 0;
  FAILS(karat_attend(&args, &error), KARAT_USAGE, "256 tokens where the tensors have 276");
  args.input.text = kTokens;
  FAILS(karat_attend(&args, &error), KARAT_USAGE, "text");
  FAILS(karat_generate("{\"heads\": 4, \"kv_heads\": 3}", 0, &codes, &error), KARAT_USAGE,
        "divisor");
  karat_recipe_free(recipe);
  karat_tensors_free(stages);
  karat_tensors_free(owner);
}

/* The FP8 output of a forward goes back into its backward, as codes or as values. */
static void test_fp8_output_in_a_backward(void) {
  karat_tensors* owner = NULL;
  karat_array q, k, v, d_o;
  enum { kTokens = 128, kChannels = 128 };
  OK(karat_generate("{\"grid\": [2, 8, 8], \"head_dim\": 128, \"do\": true}", 0, &owner, &error));
  find(owner, "q", &q);
  find(owner, "k", &k);
  find(owner, "v", &v);
  find(owner, "do", &d_o);
  static unsigned char o[kTokens * kChannels], dq[sizeof o], again[sizeof o];
  static float lse[kTokens], wide[sizeof o];
  karat_recipe* recipe = recipe_of("cudnn_fp8_hopper");
  const karat_heads input = {.type = "bf16", .layout = "BHSD", .batch = 1, .heads = 1,
                             .tokens = kTokens, .channels = kChannels, .q = q.data, .k = k.data,
                             .v = v.data};
  karat_attend_args forward = {.size = sizeof forward, .recipe = recipe, .input = input, .o = o,
                               .o_type = "e4m3", .lse = lse};
  OK(karat_attend(&forward, &error));
  karat_backward_args args = {.size = sizeof args, .recipe = recipe, .input = input,
                              .d_o = d_o.data, .d_o_type = "bf16", .dq = dq,
                              .gradient_type = "e5m2"};
  OK(karat_backward(&args, &error));
  args.dq = again;
  args.o = o;
  args.lse = lse;
  for (const char* const* type = (const char*[]){"e4m3", "u8", NULL}; *type != NULL; ++type) {
    args.o_type = *type;
    memset(again, 0, sizeof again);
    OK(karat_backward(&args, &error));
    EXPECT(memcmp(again, dq, sizeof dq) == 0);
  }
  args.o_type = "e5m2";
  FAILS(karat_backward(&args, &error), KARAT_USAGE,
        "o: holds e5m2 codes where the recipe's output is e4m3");
  args.o = wide;
  args.o_type = "f32";
  OK(karat_backward(&args, &error));
  wide[kChannels + 5] = 1.03f;
  FAILS(karat_backward(&args, &error), KARAT_USAGE,
        "the value at batch 0, head 0, token 1, channel 5 is none of e4m3");
  args.o_type = "f64";
  FAILS(karat_backward(&args, &error), KARAT_USAGE, "o_type");
  karat_recipe_free(recipe);
  args.recipe = recipe = recipe_of("fa3_bf16");
  args.gradient_type = "bf16";
  args.dq = NULL;
  args.o = o;
  args.o_type = "e4m3";
  FAILS(karat_backward(&args, &error), KARAT_USAGE,
        "o: holds codes where the recipe's output is bf16");
  karat_recipe_free(recipe);
  karat_tensors_free(owner);
}

/* Codes and scales of an earlier call give its bits; args.o holds them. */
/* Gradients of two groups of heads: with and without the forward's outputs, and those that a golden
 * file of the same run holds. */
static void test_backward(void) {
  test_fp8_output_in_a_backward();
  enum { kHeads = 4, kShared = 2 };
  karat_tensors *owner = NULL, *stages = NULL, *loaded = NULL;
  karat_array q, k, v, d_o, tap;
  OK(karat_generate("{\"grid\": [4, 8, 8], \"heads\": 4, \"kv_heads\": 2, \"head_dim\": 64, "
                    "\"seed\": 3, \"do\": true}",
                    0, &owner, &error));
  find(owner, "q", &q);
  find(owner, "k", &k);
  find(owner, "v", &v);
  find(owner, "do", &d_o);
  EXPECT(d_o.shape[1] == kHeads && d_o.shape[2] == S);
  static unsigned short o[kHeads * S * D], dq[kHeads * S * D], dk[kShared * S * D],
      dv[kShared * S * D], again[kHeads * S * D];
  static float lse[kHeads * S], delta[kHeads * S];
  karat_recipe* recipe = recipe_of(
      "{\"base\": \"fps_qat_fp8\", \"mask\": {\"tile\": [2, 4, 4], \"window\": [1, 1, 1]}, "
      "\"q\": {\"tile\": [2, 4, 4]}, \"k\": {\"tile\": [2, 4, 4]}}");
  const karat_heads input = {.type = "bf16", .layout = "BHSD", .batch = 1, .heads = kHeads,
                             .kv_heads = kShared, .tokens = S, .channels = D, .grid = {T, H, W},
                             .q = q.data, .k = k.data, .v = v.data};
  karat_attend_args forward = {.size = sizeof forward, .recipe = recipe, .input = input, .o = o,
                               .o_type = "bf16", .lse = lse};
  OK(karat_attend(&forward, &error));
  karat_backward_args args = {.size = sizeof args, .recipe = recipe, .input = input,
                              .d_o = d_o.data, .d_o_type = "bf16", .dq = dq, .dk = dk, .dv = dv,
                              .gradient_type = "bf16", .delta = delta, .taps = "0",
                              .stages = &stages};
  OK(karat_backward(&args, &error));
  find(stages, "dq_tap.0.2.0.ds", &tap);
  EXPECT(tap.rank == 2);
  karat_tensors_free(stages);
  args.key_taps = "1";
  OK(karat_backward(&args, &error));
  EXPECT(find(stages, "dkv_tap.0.1.1.dk", &tap)->rank == 3);
  karat_tensors_free(stages);
  args.key_taps = "99";
  FAILS(karat_backward(&args, &error), KARAT_USAGE, "\"99\" is no key block of the backward");
  args.key_taps = NULL;
  args.stages = NULL;
  args.o = o;
  args.o_type = "bf16";
  FAILS(karat_backward(&args, &error), KARAT_USAGE, "lse: is missing beside o");
  args.lse = lse;
  args.dq = again;
  OK(karat_backward(&args, &error));
  EXPECT(memcmp(again, dq, sizeof dq) == 0);
  args.gradient_type = "f32";
  FAILS(karat_backward(&args, &error), KARAT_USAGE, "where the recipe writes");
  args.gradient_type = "bf16";
  static unsigned short spoiled[kHeads * S * D];
  memcpy(spoiled, d_o.data, sizeof spoiled);
  spoiled[D + 5] = 0x7FC0;
  args.d_o = spoiled;
  FAILS(karat_backward(&args, &error), KARAT_USAGE, "NaN at batch 0, head 0, token 1, channel 5");
  args.d_o = NULL;
  FAILS(karat_backward(&args, &error), KARAT_USAGE, "d_o");
  args.d_o = d_o.data;
  args.d_o_type = "e4m3";
  FAILS(karat_backward(&args, &error), KARAT_USAGE, "d_o_type");
  args.d_o_type = "bf16";
  args.o = NULL;
  FAILS(karat_backward(&args, &error), KARAT_USAGE, "o: is missing beside lse");
  args.o = o;
  lse[3] = NAN;
  FAILS(karat_backward(&args, &error), KARAT_USAGE, "lse: NaN at batch 0, head 0, token 3");
  char path[256];
  path_of(path, sizeof path, "backward.h5");
  karat_make_args made = {.size = sizeof made, .recipe = recipe, .input = input, .path = path,
                          .d_o = spoiled, .d_o_type = "bf16"};
  FAILS(karat_make(&made, NULL, &error), KARAT_USAGE,
        "NaN at batch 0, head 0, token 1, channel 5");
  made.d_o = d_o.data;
  OK(karat_make(&made, NULL, &error));
  OK(karat_load(path, "[\"stages/dq\", \"stages/dk\", \"stages/dv\"]", &loaded, &error));
  EXPECT(memcmp(find(loaded, "stages/dq", &tap)->data, dq, sizeof dq) == 0);
  EXPECT(memcmp(find(loaded, "stages/dk", &tap)->data, dk, sizeof dk) == 0);
  EXPECT(memcmp(find(loaded, "stages/dv", &tap)->data, dv, sizeof dv) == 0);
  karat_tensors_free(loaded);
  karat_recipe_free(recipe);
  args.recipe = recipe = recipe_of("fpsattention");
  args.d_o = d_o.data;
  FAILS(karat_backward(&args, &error), KARAT_USAGE, "has no backward");
  karat_recipe_free(recipe);
  karat_tensors_free(owner);
}

static void test_codes(const karat_attend_args* values, const karat_tensors* stages) {
  static unsigned short o[S * D];
  karat_array codes[3], scale[3];
  const char* names[] = {"q_codes", "k_codes", "v_codes", "q_scale", "k_scale", "v_scale"};
  for (int i = 0; i < 3; ++i) {
    find(stages, names[i], &codes[i]);
    find(stages, names[i + 3], &scale[i]);
  }
  karat_scales scales = {.q_type = "e4m3", .k_type = "u8", .v_type = "e4m3",
                         .q = scale[0].data, .k = scale[1].data, .v = scale[2].data,
                         .q_groups = scale[0].shape[2], .k_groups = scale[1].shape[2],
                         .v_groups = scale[2].shape[2]};
  karat_attend_args args = *values;
  args.stages = NULL;
  args.input.q = codes[0].data;
  args.input.k = codes[1].data;
  args.input.v = codes[2].data;
  args.input.scales = &scales;
  args.o = o;
  OK(karat_attend(&args, &error));
  EXPECT(memcmp(o, values->o, sizeof o) == 0);
  scales.q_type = "e5m2";
  FAILS(karat_attend(&args, &error), KARAT_USAGE, "q_codes: are e5m2 where the recipe's");
  scales.q_type = "f16";
  FAILS(karat_attend(&args, &error), KARAT_USAGE, "one byte a code");
  scales.q_type = "e4m3";
  --scales.k_groups;
  FAILS(karat_attend(&args, &error), KARAT_USAGE, "k_scale");
}

static int stop_at_once(size_t done, size_t total, void* context) {
  (void)total;
  *(int*)context += done > 0;
  return 1;
}

/* Stages by name; a mask given as BlockMask arrays equals the recipe's own. */
static void test_stages(void) {
  karat_tensors *owner = NULL, *stages = NULL, *mask = NULL, *codes = NULL;
  karat_heads heads = workload(&owner);
  karat_array array, other;
  static unsigned short o[S * D], given[S * D];
  karat_attend_args args;
  memset(&args, 0, sizeof args);
  args.size = sizeof args;
  args.recipe = recipe_of(
      "{\"base\": \"fpsattention\", \"mask\": {\"tile\": [2, 4, 4], \"window\": [1, 1, 1]}}");
  args.input = heads;
  args.o = o;
  args.o_type = "bf16";
  args.taps = "0";
  args.stages = &stages;
  char* reason = NULL;
  args.input.grid[0] = args.input.grid[1] = args.input.grid[2] = 0;
  OK(karat_recipe_grid_reason(args.recipe, &reason, &error));
  EXPECT(strcmp(reason, "mask.tile 2,4,4 orders the tokens by it") == 0);
  FAILS(karat_attend(&args, &error), KARAT_USAGE, reason);
  karat_free_text(reason);
  args.input = heads;
  OK(karat_attend(&args, &error));
  find(stages, "tap.0.0.0.s", &array);
  EXPECT(array.rank == 2 && strcmp(array.type, "f32") == 0);
  find(stages, "q_codes", &array);
  EXPECT(array.rank == 4 && strcmp(array.type, "e4m3") == 0 && array.shape[2] == S);
  OK(karat_quantise(args.recipe, "q", &heads, 0, &codes, &error));
  find(codes, "codes", &other);
  EXPECT(memcmp(array.data, other.data, S * D) == 0);
  karat_tensors_free(codes);
  test_codes(&args, stages);

  OK(karat_mask(args.recipe, heads.grid, 32, 32, 1, &mask, &error));
  karat_block_mask blocks = {32, 32, S / 32, S / 32, NULL, NULL, NULL, NULL};
  blocks.kv_num_blocks = find(mask, "kv_num_blocks", &array)->data;
  blocks.kv_indices = find(mask, "kv_indices", &array)->data;
  blocks.full_kv_num_blocks = find(mask, "full_kv_num_blocks", &array)->data;
  blocks.full_kv_indices = find(mask, "full_kv_indices", &array)->data;
  const unsigned char* keep = find(mask, "keep", &array)->data;
  long kept = 0;
  for (int i = 0; i < S * S; ++i) kept += keep[i];
  EXPECT(kept > 0 && kept < (long)S * S);
  karat_recipe* own = (karat_recipe*)args.recipe;
  args.block_mask = &blocks;
  args.mask_order = KARAT_POSITIONS;
  args.recipe = recipe_of(
      "{\"base\": \"fpsattention\", \"mask\": {\"tile\": [2, 4, 4], \"kind\": \"none\"}}");
  args.keep = keep;
  args.keep_positions = S - 1;
  FAILS(karat_attend(&args, &error), KARAT_USAGE, "positions");
  args.keep_positions = S;
  args.o = given;
  args.stages = NULL;
  OK(karat_attend(&args, &error));
  EXPECT(memcmp(o, given, sizeof o) == 0);
  int calls = 0;
  args.progress = stop_at_once;
  args.context = &calls;
  FAILS(karat_attend(&args, &error), KARAT_STOPPED, "stopped");
  EXPECT(calls > 0);
  karat_recipe_free((karat_recipe*)args.recipe);
  karat_recipe_free(own);
  karat_tensors_free(mask);
  karat_tensors_free(stages);
  karat_tensors_free(owner);
}

/* softmax(q k^T / sqrt(D)) v over the pairs, written out. */
static void softmax(const float* q, const float* k, const float* v, int tokens, int d,
                    const unsigned char* keep, double* o) {
  for (int i = 0; i < tokens; ++i) {
    double sum = 0;
    for (int c = 0; c < d; ++c) o[i * d + c] = 0;
    for (int j = 0; j < tokens; ++j) {
      if (!keep[i * tokens + j]) continue;
      double s = 0;
      for (int c = 0; c < d; ++c) s += (double)q[i * d + c] * k[j * d + c];
      const double p = exp(s / sqrt(d));
      sum += p;
      for (int c = 0; c < d; ++c) o[i * d + c] += p * v[j * d + c];
    }
    for (int c = 0; c < d; ++c) o[i * d + c] /= sum;
  }
}

/* A mask counts tokens, whatever order the recipe computes them in: pairs and lists of blocks
 * without any symmetry on a ragged grid of tiles, against a softmax over the same pairs. The
 * recipe's stages are f64 sums rounded to f32: o is within 2^-18 of the largest v. */
static void test_masks(void) {
  enum { kTokens = 3 * 5 * 7, kChannels = 16, kBlock = 15, kBlocks = kTokens / kBlock };
  static float x[3][kTokens * kChannels], o[kTokens * kChannels];
  static double expected[kTokens * kChannels];
  static unsigned char keep[kTokens * kTokens], of_blocks[kTokens * kTokens];
  unsigned state = 1;
  for (int t = 0; t < 3; ++t)
    for (int e = 0; e < kTokens * kChannels; ++e)
      x[t][e] = (float)((state = state * 1664525u + 1013904223u) >> 16) / 32768.0f - 1.0f;
  for (int e = 0; e < kTokens * kTokens; ++e)
    keep[e] = ((state = state * 1664525u + 1013904223u) >> 16) % 3 == 0 ||
              e / kTokens == e % kTokens;
  int32_t counts[kBlocks], indices[kBlocks * kBlocks] = {0}, none[kBlocks] = {0};
  for (int i = 0; i < kBlocks; ++i) {
    counts[i] = 0;
    for (int j = 0; j < kBlocks; ++j)
      if (i == j || (i + 2 * j) % 4 == 0) indices[i * kBlocks + counts[i]++] = j;
  }
  for (int i = 0; i < kTokens; ++i)
    for (int j = 0; j < kTokens; ++j) {
      const int a = i / kBlock, b = j / kBlock;
      of_blocks[i * kTokens + j] = a == b || (a + 2 * b) % 4 == 0;
    }
  karat_attend_args args = {.size = sizeof args, .o = o, .o_type = "f32"};
  args.input = (karat_heads){.type = "f32", .layout = "BHSD", .batch = 1, .heads = 1,
                             .tokens = kTokens, .channels = kChannels, .grid = {3, 5, 7},
                             .q = x[0], .k = x[1], .v = x[2]};
  const char* recipes[] = {
      "{\"base\": \"dense_f64\", \"mask\": {\"tile\": [2, 4, 4]}}",
      "{\"base\": \"dense_f64\", \"block\": {\"align\": \"tile\"}, \"mask\": {\"tile\": "
      "[2, 4, 4], \"kind\": \"window\", \"window\": [1, 1, 1]}}"};
  const karat_block_mask full = {kBlock, kBlock, kBlocks, kBlocks, none, indices, counts, indices};
  const karat_block_mask partial = {kBlock, kBlock, kBlocks, kBlocks, counts, indices, NULL, NULL};
  enum { kRows = (kTokens + 15) / 16, kColumns = (kTokens + 29) / 30 }; /* the last ones short */
  unsigned char kept[kRows * kColumns];
  for (int e = 0; e < kRows * kColumns; ++e)
    kept[e] = e % kColumns == e / kColumns % kColumns || e % 5 == 1;
  const karat_block_matrix matrix = {16, 30, 1, 1, kRows, kColumns, kept};
  for (int r = 0; r < 2; ++r)
    for (int form = 0; form < 4; ++form) {
      static unsigned char pairs[kTokens * kTokens];
      for (int e = 0; e < kTokens * kTokens; ++e)
        pairs[e] = form == 3 ? kept[e / kTokens / 16 * kColumns + e % kTokens / 30]
                             : (form == 0 || of_blocks[e]) && (form == 1 || keep[e]);
      args.recipe = recipe_of(recipes[r]);
      args.block_matrix = form == 3 ? &matrix : NULL;
      args.block_mask = form == 1 ? &full : form == 2 ? &partial : NULL;
      args.keep = form == 1 || form == 3 ? NULL : keep;
      args.keep_positions = kTokens;
      OK(karat_attend(&args, &error));
      softmax(x[0], x[1], x[2], kTokens, kChannels, pairs, expected);
      double worst = 0;
      for (int e = 0; e < kTokens * kChannels; ++e) worst = fmax(worst, fabs(o[e] - expected[e]));
      EXPECT(worst < 1.0 / (1 << 18));
      karat_recipe_free((karat_recipe*)args.recipe);
    }
  args.recipe = recipe_of(recipes[0]);
  args.block_mask = NULL;
  args.keep = keep;
  args.block_matrix = &matrix;
  FAILS(karat_attend(&args, &error), KARAT_USAGE, "one of them");
  args.block_matrix = NULL;
  args.keep = NULL;
  args.block_mask = &partial;
  FAILS(karat_attend(&args, &error), KARAT_USAGE, "partial");
  args.block_mask = NULL;
  args.keep = keep;
  args.mask_order = (karat_mask_order)7;
  FAILS(karat_attend(&args, &error), KARAT_USAGE, "mask_order");
  args.mask_order = KARAT_TOKENS;
  args.keep_positions = kTokens - 1;
  FAILS(karat_attend(&args, &error), KARAT_USAGE, "tokens");
  karat_recipe_free((karat_recipe*)args.recipe);
}

static void test_files(void) {
  const char* endings[] = {"safetensors", "npy"};
  const unsigned short values[] = {1, 2, 3, 4, 5, 0xBF80};
  const karat_array array = {values, "bf16", 2, {2, 3, 0, 0, 0, 0, 0, 0}};
  const char* names[] = {"values"};
  for (int i = 0; i < 2; ++i) {
    char path[4096], name[32];
    snprintf(name, sizeof name, "values.%s", endings[i]);
    path_of(path, sizeof path, name);
    karat_tensors* read = NULL;
    karat_array back;
    char* list = NULL;
    OK(karat_save(path, names, &array, 1, "{\"made_by\": \"test\"}", &error));
    OK(karat_load(path, NULL, &read, &error));
    find(read, "values", &back);
    EXPECT(strcmp(back.type, "bf16") == 0 && back.rank == 2 && back.shape[1] == 3);
    EXPECT(memcmp(back.data, values, sizeof values) == 0);
    if (i == 0) EXPECT(strcmp(karat_tensors_metadata(read), "{\"made_by\":\"test\"}") == 0);
    OK(karat_list(path, &list, &error));
    EXPECT(strstr(list, "\"bf16\"") != NULL && strstr(list, "[2,3]") != NULL);
    karat_free_text(list);
    karat_tensors_free(read);
    FAILS(karat_load(path, "[\"other\"]", &read, &error), KARAT_INPUT_OUTPUT, "other");
  }
  karat_tensors* none = NULL;
  FAILS(karat_load("/nowhere/x.npy", NULL, &none, &error), KARAT_INPUT_OUTPUT, "/nowhere/x.npy");
  FAILS(karat_save("x.txt", names, &array, 1, NULL, &error), KARAT_USAGE, ".safetensors");
  EXPECT(none == NULL);
  /* What cannot be handed out is listed with its reason and left out; asked for, it is refused. */
  char path[4096];
  path_of(path, sizeof path, "odd.safetensors");
  const char* header =
      "{\"deep\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]},"
      "\"four\":{\"dtype\":\"F4\",\"shape\":[2],\"data_offsets\":[1,2]},"
      "\"good\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]}}";
  const unsigned char length[8] = {(unsigned char)(strlen(header) % 256),
                                   (unsigned char)(strlen(header) / 256)};
  FILE* file = fopen(path, "wb");
  EXPECT(file != NULL && fwrite(length, 1, 8, file) == 8 && fputs(header, file) >= 0 &&
         fwrite("\1\2\3", 1, 3, file) == 3 && fclose(file) == 0);
  karat_tensors* rest = NULL;
  karat_array good;
  char* reasons = NULL;
  OK(karat_load(path, NULL, &rest, &error));
  EXPECT(karat_tensors_count(rest) == 1);
  find(rest, "good", &good);
  EXPECT(*(const unsigned char*)good.data == 3);
  karat_tensors_free(rest);
  OK(karat_list(path, &reasons, &error));
  EXPECT(strstr(reasons, "9 dimensions") != NULL && strstr(reasons, "F4") != NULL);
  karat_free_text(reasons);
  FAILS(karat_load(path, "[\"deep\"]", &rest, &error), KARAT_USAGE, "9 dimensions");
  FAILS(karat_load(path, "[\"four\"]", &rest, &error), KARAT_INPUT_OUTPUT, "F4");
}

static void test_golden(void) {
  char path[4096];
  path_of(path, sizeof path, "golden.h5");
  karat_tensors *owner = NULL, *golden = NULL;
  karat_heads heads = workload(&owner);
  karat_recipe* recipe = recipe_of("{\"base\": \"fpsattention\", \"mask\": {\"tile\": [2, 4, 4]}}");
  char* text = NULL;
  karat_make_args make = {.size = sizeof make, .recipe = recipe, .input = heads, .seed = 3};
  FAILS(karat_make(&make, &text, &error), KARAT_USAGE, "path");
  make.path = path;
  OK(karat_make(&make, &text, &error));
  EXPECT(strstr(text, "sha256") != NULL);
  karat_free_text(text);
  OK(karat_load(path, "[\"stages/o\"]", &golden, &error));
  karat_array o = karat_tensors_array(golden, 0);
  const char* names[] = {"o"};
  karat_candidate candidate = {NULL, names, &o, 1};
  OK(karat_check(path, &candidate, NULL, &text, NULL, NULL, &error));
  EXPECT(strstr(text, "\"passed\":true") != NULL);
  karat_free_text(text);
  /* One bit in one value is found and placed. */
  unsigned short* wrong = malloc(S * D * sizeof *wrong);
  const void* golden_o = o.data;
  memcpy(wrong, o.data, S * D * sizeof *wrong);
  wrong[20 * D + 9] ^= 0x4000;
  o.data = wrong;
  OK(karat_check(path, &candidate, "{\"threads\": 1}", &text, NULL, NULL, &error));
  EXPECT(strstr(text, "\"passed\":false") != NULL);
  EXPECT(strstr(text, "\"token\":20") != NULL && strstr(text, "\"channel\":9") != NULL);
  karat_free_text(text);
  /* V's channels reversed is a mistake that diagnose has a name for. */
  for (int i = 0; i < S; ++i)
    for (int c = 0; c < D; ++c) wrong[i * D + c] = ((const unsigned short*)golden_o)[i * D + D - 1 - c];
  OK(karat_diagnose(path, &candidate, "{\"blocks\": 2}", &text, NULL, NULL, &error));
  EXPECT(strstr(text, "\"matches\":false") != NULL && strstr(text, "\"hypotheses\":[{") != NULL);
  karat_free_text(text);
  FAILS(karat_diagnose(path, &candidate, "{\"alarm\": \"loud\"}", &text, NULL, NULL, &error),
        KARAT_USAGE, "any-bit");
  /* Whoever asks for it stops the work; nothing is left. */
  int calls = 0;
  FAILS(karat_check(path, &candidate, NULL, &text, stop_at_once, &calls, &error), KARAT_STOPPED,
        "stopped");
  FAILS(karat_diagnose(path, &candidate, NULL, &text, stop_at_once, &calls, &error), KARAT_STOPPED,
        "stopped");
  static double truth[S * D];
  FAILS(karat_truth(recipe, &heads, 0, 0, truth, NULL, stop_at_once, &calls, &error), KARAT_STOPPED,
        "stopped");
  EXPECT(calls > 0);
  char half[4200];
  snprintf(half, sizeof half, "%s.half", path);
  make.path = half;
  make.progress = stop_at_once;
  make.context = &calls;
  FAILS(karat_make(&make, &text, &error), KARAT_STOPPED, "stopped");
  EXPECT(fopen(half, "r") == NULL);
  names[0] = "nothing";
  FAILS(karat_check(path, &candidate, NULL, &text, NULL, NULL, &error), KARAT_USAGE, "no stage");
  FAILS(karat_check(path, &candidate, "{\"layot\": 1}", &text, NULL, NULL, &error), KARAT_USAGE,
        "layout");
  FAILS(karat_check(path, &candidate, "{\"allow\": [\"ordr\"]}", &text, NULL, NULL, &error),
        KARAT_USAGE, "did you mean order");
  FAILS(karat_check(path, &candidate, "{\"allow\": \"order\"}", &text, NULL, NULL, &error),
        KARAT_USAGE, "list of texts");
  FAILS(karat_check(path, &candidate, "{\"v_layout\": \"DHSB\"}", &text, NULL, NULL, &error),
        KARAT_USAGE, "BHDS");
  /* V transposed passes as such, and is refused otherwise. */
  karat_tensors* read = NULL;
  OK(karat_load(path, "[\"stages/v_codes\"]", &read, &error));
  karat_array codes = karat_tensors_array(read, 0);
  static unsigned char transposed[D * S];
  for (int i = 0; i < S; ++i)
    for (int c = 0; c < D; ++c)
      transposed[c * S + i] = ((const unsigned char*)codes.data)[i * D + c];
  codes.data = transposed;
  codes.shape[2] = D;
  codes.shape[3] = S;
  names[0] = "v_codes";
  candidate.arrays = &codes;
  FAILS(karat_check(path, &candidate, NULL, &text, NULL, NULL, &error), KARAT_USAGE, "BHDS");
  OK(karat_check(path, &candidate, "{\"v_layout\": \"BHDS\", \"allow\": [\"order\"]}", &text,
                 NULL, NULL, &error));
  EXPECT(strstr(text, "\"passed\":true") != NULL && strstr(text, "\"order\"") != NULL);
  karat_free_text(text);
  karat_tensors_free(read);
  candidate.path = path;
  OK(karat_check(path, &candidate, NULL, &text, NULL, NULL, &error));
  EXPECT(strstr(text, "\"passed\":true") != NULL);
  karat_free_text(text);
  free(wrong);
  karat_recipe_free(recipe);
  karat_tensors_free(golden);
  karat_tensors_free(owner);
}

static void test_time(void) {
  char* text = NULL;
  karat_recipe* recipe = recipe_of("fpsattention");
  OK(karat_cost(recipe,
                "{\"gpu\": \"H20\", \"model\": \"wan2.1-1.3b\", \"resolution\": \"480p\"}", &text,
                &error));
  EXPECT(strstr(text, "\"time_ms\":") != NULL && strstr(text, "\"run_s\":") != NULL);
  karat_free_text(text);
  OK(karat_cost_picture(recipe, "{\"grid\": [6, 16, 16]}", "svg", &text, &error));
  EXPECT(strncmp(text, "<svg", 4) == 0);
  karat_free_text(text);
  const int32_t grid[3] = {6, 16, 16};
  OK(karat_mask_picture(recipe, grid, -1, &text, &error));
  EXPECT(strncmp(text, "<svg", 4) == 0);
  karat_free_text(text);
  FAILS(karat_cost(recipe, "{}", &text, &error), KARAT_USAGE, "shape");
  FAILS(karat_cost(recipe, "{\"tokens\": -4}", &text, &error), KARAT_USAGE, "tokens");
  FAILS(karat_cost(recipe, "{\"tokens\": 4096, \"steps\": 2}", &text, &error), KARAT_USAGE, "model");
  FAILS(karat_cost(recipe, "[]", &text, &error), KARAT_USAGE, "object");
  karat_recipe_free(recipe);
}

/* A NULL error is fine, NULL arguments are errors, and freeing nothing is nothing. */
/* A kernel that adds its parameter to each of 32 words. */
static void test_kernel(void) {
  static const char* const ptx =
      ".version 8.0 .target sm_90a .visible .entry add(.param .u64 out, .param .u32 n) {"
      ".reg .b32 %r<4>; .reg .b64 %d<4>; ld.param.u64 %d1, [out]; ld.param.u32 %r1, [n];"
      "mov.u32 %r2, %tid.x; mad.wide.u32 %d1, %r2, 4, %d1; ld.global.u32 %r3, [%d1];"
      "add.u32 %r3, %r3, %r1; st.global.u32 [%d1], %r3; }";
  static const char* const launch =
      "{\"block\": [32], \"outputs\": [\"out\"],"
      " \"parameters\": [{\"pointer\": \"out\"}, {\"i32\": 7}]}";
  int words[32];
  for (int i = 0; i < 32; ++i) words[i] = i;
  const char* names[] = {"out"};
  const karat_array array = {.data = words, .type = "i32", .rank = 1, .shape = {32}};
  karat_tensors* outputs = NULL;
  char* report = NULL;
  OK(karat_run_ptx(ptx, launch, names, &array, 1, &outputs, &report, &error));
  karat_array out;
  if (outputs != NULL && find(outputs, "out", &out) != NULL)
    for (int i = 0; i < 32; ++i) EXPECT(((const int*)out.data)[i] == i + 7 && words[i] == i);
  EXPECT(report != NULL && strstr(report, "\"fault\":null") != NULL);
  karat_free_text(report);
  karat_tensors_free(outputs);
  FAILS(karat_run_ptx(ptx, "{\"blok\": [32]}", names, &array, 1, &outputs, &report, &error),
        KARAT_USAGE, "did you mean block?");
}

static void test_errors(void) {
  EXPECT(karat_recipe_new("nobody", NULL, NULL) == KARAT_USAGE);
  EXPECT(karat_scaled_mm(NULL, &error) == KARAT_USAGE);
  EXPECT(karat_attend(NULL, &error) == KARAT_USAGE);
  EXPECT(karat_make(NULL, NULL, &error) == KARAT_USAGE);
  EXPECT(karat_load(NULL, NULL, NULL, &error) == KARAT_USAGE);
  EXPECT(karat_mask(NULL, NULL, 0, 0, 0, NULL, &error) == KARAT_USAGE);
  EXPECT(karat_check(NULL, NULL, NULL, NULL, NULL, NULL, &error) == KARAT_USAGE);
  EXPECT(karat_cost(NULL, NULL, NULL, &error) == KARAT_USAGE);
  karat_free_text(NULL);
  karat_recipe_free(NULL);
  karat_tensors_free(NULL);
  EXPECT(karat_tensors_count(NULL) == 0);
  /* A long message is cut, not overrun. */
  static char name[5000];
  memset(name, 'x', sizeof name - 1);
  EXPECT(karat_names(name, NULL, &error) == KARAT_USAGE);
  char* json = NULL;
  EXPECT(karat_names(name, &json, &error) == KARAT_USAGE);
  EXPECT(strlen(error.message) == sizeof error.message - 1);
}

static void* work(void* result) {
  karat_tensors* owner = NULL;
  karat_error mine;
  karat_recipe* recipe = NULL;
  if (karat_recipe_new("sta_bf16", &recipe, &mine) != KARAT_OK) return NULL;
  if (karat_generate("{\"grid\": [4, 8, 8], \"head_dim\": 64}", 1, &owner, &mine) != KARAT_OK)
    return NULL;
  karat_attend_args args;
  memset(&args, 0, sizeof args);
  args.size = sizeof args;
  args.recipe = recipe;
  args.input = (karat_heads){"bf16", "BHSD", 1, 1, 0, S, D, {T, H, W}, 0, NULL, NULL, NULL, NULL};
  args.input.k = karat_tensors_array(owner, 0).data;
  args.input.q = karat_tensors_array(owner, 1).data;
  args.input.v = karat_tensors_array(owner, 2).data;
  args.threads = 1;
  args.o = result;
  args.o_type = "bf16";
  for (int i = 0; i < 5; ++i) {
    if (karat_attend(&args, &mine) != KARAT_OK) return NULL;
    if (karat_names("colours", NULL, &mine) != KARAT_USAGE) return NULL;
  }
  karat_recipe_free(recipe);
  karat_tensors_free(owner);
  return result;
}

static void test_threads(void) {
  enum { kThreads = 8 };
  static unsigned short results[kThreads][S * D];
  pthread_t threads[kThreads];
  for (int i = 0; i < kThreads; ++i) pthread_create(&threads[i], NULL, work, results[i]);
  for (int i = 0; i < kThreads; ++i) {
    void* done = NULL;
    pthread_join(threads[i], &done);
    EXPECT(done == results[i]);
    EXPECT(memcmp(results[0], results[i], sizeof results[0]) == 0);
  }
}

int main(int argc, char** argv) {
  const struct {
    const char* name;
    void (*run)(void);
  } parts[] = {{"version", test_version},     {"numbers", test_numbers}, {"product", test_product},
               {"recipes", test_recipes},     {"schedules", test_schedules},
               {"attention", test_attention}, {"groups", test_groups},   {"masks", test_masks},
               {"stages", test_stages},
               {"backward", test_backward},   {"files", test_files},
               {"golden", test_golden},       {"kernel", test_kernel},   {"time", test_time},
               {"errors", test_errors},
               {"threads", test_threads}};
  if (argc != 3) return 2;
  scratch = argv[2];
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; ++i)
    if (strcmp(parts[i].name, argv[1]) == 0) {
      parts[i].run();
      return failures == 0 ? 0 : 1;
    }
  return 2;
}
