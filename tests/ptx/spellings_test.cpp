// Instructions as compilers and their users write them: each decodes, each of the wrong ones is
// refused. What they compute is tested elsewhere.
#include "kernel.hpp"
#include "program/decoder.hpp"

namespace karat::ptx {
namespace {

const std::string kOutside =
    ".extern .shared .align 1024 .b8 pool[];\n.const .align 4 .f32 table[4] = {0f3F800000};\n";

/// Decodes one instruction in a kernel that never reaches it.
std::string decoded(const std::string& line) {
  try {
    const Module module = parse(kernel_text("exit;" + line, kOutside), "k.ptx");
    make_program(module, module.functions[0], VariableAddresses(module.variables.size(), 0x1000));
  } catch (const Error& error) {
    return error.what();
  }
  return "decoded";
}

std::string list(const std::string& prefix, int from, int count) {
  std::string text = "{";
  for (int i = 0; i < count; ++i)
    text += (i == 0 ? "" : ", ") + prefix + std::to_string(from + i % 28);
  return text + "}";
}

constexpr const char* kArithmetic[] = {

    "add.s32 %r1, %r2, -1;",
    "add.s64 %rd1, %rd2, %rd3;",
    "sub.u32 %r1, %r2, %r3;",
    "add.u16 %rs1, %rs2, 1;",
    "mul.hi.s32 %r1, %r2, 1717986919;",
    "mul.hi.u32 %r1, %r2, %r3;",
    "mul.lo.s32 %r1, %r2, %r3;",
    "mul.lo.s64 %rd1, %rd2, %rd3;",
    "mul.wide.s32 %rd1, %r2, 4;",
    "mul.wide.u16 %r1, %rs1, %rs2;",
    "mad.lo.s32 %r1, %r2, %r3, %r4;",
    "mad.lo.s64 %rd1, %rd2, %rd3, %rd4;",
    "mad.wide.u32 %rd1, %r2, 4, %rd3;",
    "div.s32 %r1, %r2, %r3;",
    "rem.u32 %r1, %r2, %r3;",
    "div.u64 %rd1, %rd2, %rd3;",
    "min.s32 %r1, %r2, %r3;",
    "max.u32 %r1, %r2, %r3;",
    "min.s64 %rd1, %rd2, %rd3;",
    "abs.s32 %r1, %r2;",
    "neg.s32 %r1, %r2;",
    "and.b32 %r1, %r2, 31;",
    "and.b64 %rd1, %rd2, -16;",
    "and.b16 %rs1, %rs2, 255;",
    "or.b64 %rd1, %rd2, 4611686293305294848;",
    "xor.b32 %r1, %r2, %r3;",
    "not.b32 %r1, %r2;",
    "not.b64 %rd1, %rd2;",
    "shl.b32 %r1, %r2, 3;",
    "shl.b64 %rd1, %rd2, 3;",
    "shr.u32 %r1, %r2, %r3;",
    "shr.s64 %rd1, %rd2, 32;",
    "shr.s32 %r1, %r2, 31;",
    "shl.b16 %rs1, %rs2, 8;",
    "bfe.u32 %r1, %r2, 4, 15;",
    "bfe.s32 %r1, %r2, %r3, %r4;",
    "bfi.b32 %r1, %r2, %r3, 8, 8;",
    "bfi.b64 %rd1, %rd2, %rd3, 8, 8;",
    "prmt.b32 %r1, %r2, %r3, 0x6420;",
    "prmt.b32 %r1, %r2, %r3, %r4;",
    "lop3.b32 %r1, %r2, %r3, %r4, 0xf8;",
    "shf.l.wrap.b32 %r1, %r2, %r3, 7;",
    "popc.b32 %r1, %r2;",
    "clz.b32 %r1, %r2;",
    "brev.b32 %r1, %r2;",
    "dp4a.s32.s32 %r1, %r2, %r3, %r4;"};

constexpr const char* kFloats[] = {

    "add.f32 %f1, %f2, %f3;",
    "add.ftz.f32 %f1, %f2, %f3;",
    "add.rn.f32 %f1, %f2, %f3;",
    "add.rn.ftz.f32 %f1, %f2, %f3;",
    "sub.f32 %f1, %f2, 0f3F800000;",
    "sub.ftz.f32 %f1, %f2, %f3;",
    "mul.f32 %f1, %f2, %f3;",
    "mul.ftz.f32 %f1, %f2, %f3;",
    "mul.rn.f32 %f1, %f2, %f3;",
    "fma.rn.f32 %f1, %f2, %f3, %f4;",
    "fma.rn.ftz.f32 %f1, %f2, %f3, %f4;",
    "max.f32 %f1, %f2, %f3;",
    "max.ftz.f32 %f1, %f2, %f3;",
    "min.ftz.f32 %f1, %f2, %f3;",
    "neg.f32 %f1, %f2;",
    "neg.ftz.f32 %f1, %f2;",
    "abs.f32 %f1, %f2;",
    "abs.ftz.f32 %f1, %f2;",
    "ex2.approx.ftz.f32 %f1, %f2;",
    "ex2.approx.f32 %f1, %f2;",
    "lg2.approx.ftz.f32 %f1, %f2;",
    "lg2.approx.f32 %f1, %f2;",
    "rcp.approx.ftz.f32 %f1, %f2;",
    "rcp.rn.f32 %f1, %f2;",
    "rsqrt.approx.ftz.f32 %f1, %f2;",
    "sqrt.rn.f32 %f1, %f2;",
    "div.full.f32 %f1, %f2, %f3;",
    "div.full.ftz.f32 %f1, %f2, %f3;",
    "div.rn.f32 %f1, %f2, %f3;",
    "div.approx.ftz.f32 %f1, %f2, %f3;",
    "add.f64 %fd1, %fd2, %fd3;",
    "mul.f64 %fd1, %fd2, 0d3FE0000000000000;",
    "fma.rn.f64 %fd1, %fd2, %fd3, %fd4;",
    "div.rn.f64 %fd1, %fd2, %fd3;",
    "fma.rn.bf16x2 %r1, %r2, %r3, %r4;",
    "mul.bf16x2 %r1, %r2, %r3;",
    "add.f16x2 %r1, %r2, %r3;",
    "max.bf16x2 %r1, %r2, %r3;",
    "fma.rn.f16 %rs1, %rs2, %rs3, %rs4;"};

constexpr const char* kConversions[] = {

    "cvt.rn.satfinite.e4m3x2.f32 %rs1, %f1, %f2;",
    "cvt.rn.satfinite.e5m2x2.f32 %rs1, %f1, %f2;",
    "cvt.rn.f16x2.e4m3x2 %r1, %rs1;",
    "cvt.rn.bf16x2.f32 %r1, %f1, %f2;",
    "cvt.rn.f16x2.f32 %r1, %f1, %f2;",
    "cvt.rn.bf16.f32 %rs1, %f1;",
    "cvt.rn.f16.f32 %rs1, %f1;",
    "cvt.f32.bf16 %f1, %rs1;",
    "cvt.f32.f16 %f1, %rs1;",
    "cvt.rn.f32.s32 %f1, %r1;",
    "cvt.rn.f32.u32 %f1, %r1;",
    "cvt.rz.f32.s32 %f1, %r1;",
    "cvt.rzi.s32.f32 %r1, %f1;",
    "cvt.rzi.ftz.s32.f32 %r1, %f1;",
    "cvt.rni.s32.f32 %r1, %f1;",
    "cvt.rmi.f32.f32 %f1, %f2;",
    "cvt.rni.f32.f32 %f1, %f2;",
    "cvt.rzi.s32.f64 %r1, %fd1;",
    "cvt.f64.f32 %fd1, %f1;",
    "cvt.rn.f32.f64 %f1, %fd1;",
    "cvt.u64.u32 %rd1, %r1;",
    "cvt.s64.s32 %rd1, %r1;",
    "cvt.u32.u64 %r1, %rd1;",
    "cvt.u16.u32 %rs1, %r1;",
    "cvt.u32.u16 %r1, %rs1;",
    "cvt.s32.s8 %r1, %r2;",
    "cvt.u64.u16 %rd1, %rs1;",
    "cvt.sat.s8.s32 %r1, %r2;",
    "cvt.rna.tf32.f32 %r1, %f1;"};

constexpr const char* kPredicates[] = {

    "setp.eq.s32 %p1, %r1, 0;",
    "setp.lt.u64 %p1, %rd1, %rd2;",
    "setp.ne.b64 %p1, %rd1, 0;",
    "setp.gt.s16 %p1, %rs1, 1;",
    "setp.ltu.f32 %p1, %f1, %f2;",
    "setp.neu.ftz.f32 %p1, %f1, %f2;",
    "setp.gt.ftz.f32 %p1, %f1, %f2;",
    "setp.nan.f32 %p1, %f1, %f1;",
    "setp.eq.f32 %p1, %f1, 0fFF800000;",
    "setp.lt.and.s32 %p1|%p2, %r1, %r2, !%p3;",
    "and.pred %p1, %p2, %p3;",
    "or.pred %p1, %p2, !%p3;",
    "xor.pred %p1, %p2, %p3;",
    "not.pred %p1, %p2;",
    "mov.pred %p1, 0;",
    "mov.pred %p1, -1;",
    "mov.pred %p1, %p2;",
    "selp.b32 %r1, 1, 0, %p1;",
    "selp.f32 %f1, 0fFF800000, %f2, !%p1;",
    "selp.b64 %rd1, %rd2, 0, %p1;",
    "selp.u16 %rs1, 1, 0, %p1;",
    "selp.s32 %r1, %r2, -1, %p1;"};

constexpr const char* kMoves[] = {

    "mov.u32 %r1, %ctaid.x;",
    "mov.u32 %r1, %laneid;",
    "mov.u32 %r1, %warpid;",
    "mov.u64 %rd1, pool;",
    "mov.u32 %r1, pool;",
    "mov.b32 %r1, pool+64;",
    "mov.b64 %rd1, buffer;",
    "mov.b32 %f1, %r1;",
    "mov.b32 %r1, {%rs1, %rs2};",
    "mov.b32 {%rs1, %rs2}, %r1;",
    "mov.b64 %rd1, {%r1, %r2};",
    "mov.b64 {%r1, %r2}, %rd1;",
    "mov.b64 {_, %r2}, %rd1;",
    "mov.b64 %rd1, {%rs1, %rs2, %rs3, %rs4};",
    "mov.u64 %rd1, %globaltimer;",
    "mov.u32 %r1, %clock;",
    "mov.u32 %r1, %cluster_ctarank;",
    "mov.f64 %fd1, 0d3FF0000000000000;",
    "mov.u16 %rs1, 5;",
    "mov.u32 %r1, %smid;",
    "mov.u32 %r1, %dynamic_smem_size;",
    "mov.u32 %r1, WARP_SZ;"};

constexpr const char* kMemory[] = {

    "ld.global.nc.v4.u32 {%r1,%r2,%r3,%r4}, [%rd1];",
    "ld.global.L1::no_allocate.L2::128B.v2.f32 {%f1,%f2}, [%rd1+8];",
    "ld.global.nc.L1::evict_last.L2::cache_hint.b32 %r1, [%rd1], %rd2;",
    "ld.volatile.global.u32 %r1, [%rd1];",
    "ld.acquire.gpu.global.u32 %r1, [%rd1];",
    "ld.relaxed.sys.global.b64 %rd1, [%rd2];",
    "ld.shared.v4.f32 {%f1,%f2,%f3,%f4}, [%r1+16];",
    "ld.shared::cta.b16 %rs1, [%r1];",
    "ld.param.u64 %rd1, [buffer];",
    "ld.const.f32 %f1, [table+4];",
    "ld.local.u32 %r1, [%r2];",
    "ld.global.v2.b64 {%rd1, %rd2}, [%rd3];",
    "ld.global.b8 %rs1, [%rd1];",
    "ld.u32 %r1, [%rd1];",
    "ld.shared.u64 %rd1, [%rd2];",
    "st.global.v4.b32 [%rd1], {%r1, %r2, %r3, 0};",
    "st.shared.b8 [%r1], %rs1;",
    "st.shared.v2.b16 [%r1], {%rs1, %rs2};",
    "st.global.L1::no_allocate.b32 [%rd1], %r1;",
    "st.release.gpu.global.u32 [%rd1], 1;",
    "st.local.v2.u32 [%rd1], {%r1, %r2};",
    "st.shared::cluster.u32 [%r1], %r2;",
    "st.global.cs.v4.f32 [%rd1], {%f1,%f2,%f3,%f4};",
    "cvta.to.global.u64 %rd1, %rd2;",
    "cvta.shared.u64 %rd1, %rd2;",
    "cvta.to.shared.u64 %rd1, %rd2;",
    "cvta.param.u64 %rd1, %rd2;",
    "cvta.to.local.u64 %rd1, %rd2;",
    "mapa.shared::cluster.u32 %r1, %r2, %r3;",
    "mapa.u64 %rd1, %rd2, 0;",
    "isspacep.global %p1, %rd1;",
    "atom.global.add.u32 %r1, [%rd1], 1;",
    "atom.add.release.gpu.global.s32 %r1, [%rd1], 1;",
    "atom.global.add.f32 %f1, [%rd1], %f2;",
    "atom.shared.cas.b32 %r1, [%r2], %r3, %r4;",
    "atom.global.exch.b64 %rd1, [%rd2], %rd3;",
    "red.global.add.f32 [%rd1], %f1;",
    "red.global.add.v4.f32 [%rd1], {%f1,%f2,%f3,%f4};",
    "red.release.gpu.global.add.s32 [%rd1], %r1;",
    "prefetch.global.L2 [%rd1];",
    "prefetch.tensormap [%rd1];",
    "prefetch.param.tensormap [%rd1];",
    "createpolicy.fractional.L2::evict_first.b64 %rd1, 1.0;",
    "prefetchu.L1 [%rd1];"};

constexpr const char* kSynchronisation[] = {

    "bar.sync 0;",
    "bar.sync %r1, 256;",
    "bar.arrive %r1, %r2;",
    "barrier.sync.aligned 1, 128;",
    "barrier.cta.sync 2;",
    "bar.warp.sync -1;",
    "barrier.cluster.arrive.release.aligned;",
    "barrier.cluster.arrive.relaxed.aligned;",
    "barrier.cluster.wait.acquire.aligned;",
    "barrier.cluster.arrive;",
    "barrier.cluster.wait;",
    "fence.proxy.async.shared::cta;",
    "fence.proxy.async;",
    "fence.proxy.async.global;",
    "fence.mbarrier_init.release.cluster;",
    "fence.acq_rel.gpu;",
    "membar.gl;",
    "fence.proxy.tensormap::generic.acquire.gpu [%rd1], 128;",
    "mbarrier.init.shared::cta.b64 [%r1], 1;",
    "mbarrier.init.shared.b64 [pool+8], %r1;",
    "mbarrier.inval.shared::cta.b64 [%r1];",
    "mbarrier.arrive.shared::cta.b64 _, [%r1];",
    "mbarrier.arrive.shared.b64 %rd1, [%r1], 2;",
    "mbarrier.arrive.release.cta.shared::cta.b64 %rd1, [%r1];",
    "mbarrier.arrive.shared::cluster.b64 _, [%r1];",
    "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r1], %r2;",
    "mbarrier.arrive.expect_tx.release.cta.shared::cluster.b64 _, [%r1], 16;",
    "mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%r1], 1024;",
    "mbarrier.complete_tx.shared::cluster.relaxed.cluster.b64 [%r1], %r2;",
    "mbarrier.try_wait.parity.shared::cta.b64 %p1, [%r1], %r2;",
    "mbarrier.try_wait.parity.shared.b64 %p1, [%r1], %r2, %r3;",
    "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 %p1, [%r1], %r2;",
    "mbarrier.test_wait.parity.shared::cta.b64 %p1, [%r1], 0;",
    "mbarrier.try_wait.shared.b64 %p1, [%r1], %rd1;",
    "setmaxnreg.inc.sync.aligned.u32 240;",
    "setmaxnreg.dec.sync.aligned.u32 24;",
    "griddepcontrol.wait;",
    "griddepcontrol.launch_dependents;",
    "nanosleep.u32 20;",
    "elect.sync %r1|%p1, -1;",
    "elect.sync _|%p1, 0xffffffff;",
    "shfl.sync.idx.b32 %r1, %r2, 0, 31, -1;",
    "shfl.sync.bfly.b32 %f1|%p1, %f2, 16, 0x1f, 0xffffffff;",
    "shfl.sync.down.b32 %r1, %r2, %r3, 0x1c1f, %r4;",
    "shfl.sync.up.b32 %r1|%p1, %r2, 1, 0, -1;",
    "vote.sync.ballot.b32 %r1, %p1, -1;",
    "vote.sync.any.pred %p1, !%p2, -1;",
    "match.any.sync.b32 %r1, %r2, -1;",
    "match.all.sync.b64 %r1|%p1, %rd1, -1;",
    "redux.sync.max.s32 %r1, %r2, -1;",
    "activemask.b32 %r1;",
    "bra.uni L; L:",
    "trap;",
    "ret;"};

constexpr const char* kCopies[] = {

    "cp.async.ca.shared.global [%r1], [%rd1], 4;",
    "cp.async.ca.shared.global [ %r1 + 0 ], [ %rd1 + 0 ], 0x4, %r2;",
    "cp.async.cg.shared::cta.global.L2::128B [%r1], [%rd1], 16, %r2;",
    "cp.async.cg.shared.global.L2::cache_hint [%r1], [%rd1], 16, %rd2;",
    "cp.async.cg.shared.global [%r1], [%rd1], 16, %p1;",
    "cp.async.commit_group;",
    "cp.async.wait_group 1;",
    "cp.async.wait_all;",
    "cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%r1];",
    "cp.async.mbarrier.arrive.shared.b64 [%r1];",
    "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r1], [%rd1], %r2, [%r3];",
    "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster.L2::"
    "cache_hint [%r1], [%rd1], %r2, [%r3], %rs1, %rd2;",
    "cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes [%r1], [%r2], 64, "
    "[%r3];",
    "cp.async.bulk.global.shared::cta.bulk_group [%rd1], [%r1], 128;",
    "cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32 [%rd1], [%r1], 128;",
    "cp.reduce.async.bulk.global.shared::cta.bulk_group.L2::cache_hint.add.noftz.bf16 [%rd1], "
    "[%r1], %r2, %rd2;",
    "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%r1], [%rd1, "
    "{%r2, %r3}], [%r4];",
    "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint "
    "[%r1], [%rd1, {%r2, %r3, %r4, %r5}], [%r6], %rd2;",
    "cp.async.bulk.tensor.5d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::"
    "cluster [%r1], [%rd1, {%r2, %r3, %r4, %r5, %r6}], [%r7], %rs1;",
    "cp.async.bulk.tensor.1d.shared::cta.global.mbarrier::complete_tx::bytes [%r1], [%rd1, {%r2}], "
    "[%r4];",
    "cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%rd1, {%r2, %r3}], [%r1];",
    "cp.async.bulk.tensor.4d.global.shared::cta.tile.bulk_group.L2::cache_hint [%rd1, {%r2, %r3, "
    "%r4, %r5}], [%r1], %rd2;",
    "cp.reduce.async.bulk.tensor.2d.global.shared::cta.add.tile.bulk_group [%rd1, {%r2, %r3}], "
    "[%r1];",
    "cp.async.bulk.commit_group;",
    "cp.async.bulk.wait_group 0;",
    "cp.async.bulk.wait_group.read 0;",
    "cp.async.bulk.prefetch.tensor.2d.L2.global.tile [%rd1, {%r1, %r2}];",
    "tensormap.replace.tile.global_address.shared::cta.b1024.b64 [%r1], %rd1;",
    "tensormap.replace.tile.rank.shared::cta.b1024.b32 [%r1], 1;",
    "tensormap.replace.tile.box_dim.shared::cta.b1024.b32 [%rd1], 0, %r1;",
    "tensormap.replace.tile.global_stride.shared::cta.b1024.b64 [%r1], 0, %rd1;",
    "tensormap.replace.tile.elemtype.shared::cta.b1024.b32 [%r1], 0;",
    "tensormap.replace.tile.swizzle_mode.global.b1024.b32 [%rd1], 3;",
    "tensormap.cp_fenceproxy.global.shared::cta.tensormap::generic.release.gpu.sync.aligned "
    "[%rd1], [%r1], 128;"};

void expect_decoded(std::span<const char* const> lines) {
  for (const char* line : lines) EXPECT_EQ(decoded(line), "decoded") << line;
}

TEST(Spelling, Arithmetic) { expect_decoded(kArithmetic); }
TEST(Spelling, Floats) { expect_decoded(kFloats); }
TEST(Spelling, Conversions) { expect_decoded(kConversions); }
TEST(Spelling, Predicates) { expect_decoded(kPredicates); }
TEST(Spelling, Moves) { expect_decoded(kMoves); }
TEST(Spelling, Memory) { expect_decoded(kMemory); }
TEST(Spelling, Synchronisation) { expect_decoded(kSynchronisation); }
TEST(Spelling, Copies) { expect_decoded(kCopies); }

/// Kernels of random lines, with registers that hold anything: each ends by itself, in a fault or
/// at the limit, and twice the same.
TEST(Spelling, RandomKernelsEndTheSameWayTwice) {
  std::vector<std::string> lines;
  const std::span<const char* const> all[] = {
      kArithmetic, kFloats, kConversions, kPredicates, kMoves, kSynchronisation, kMemory, kCopies};
  for (const auto& each : all)
    for (const char* line : each)
      if (std::string_view(line).find("L:") == std::string_view::npos) lines.push_back(line);
  std::uint64_t state = 5;
  const auto draw = [&](std::size_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::size_t>(state >> 33) % below;
  };
  std::size_t faults = 0;
  for (int kernel = 0; kernel < 1500; ++kernel) {
    std::string body =
        "mov.u32 %r1, pool; mov.u32 %r5, pool; mov.u64 %rd1, %rd0; mov.u32 %r2, %r0; "
        "mbarrier.init.shared.b64 [pool+8], 3; setp.lt.u32 %p1, %r0, 7;\n";
    for (std::size_t i = 0, count = 4 + draw(30); i < count; ++i) {
      if (draw(5) == 0) body += "@%p" + std::to_string(1 + draw(3)) + " ";
      if (draw(12) == 0)
        body += "bra L" + std::to_string(draw(3)) + ";\n";
      else
        body += lines[draw(lines.size())] + "\n";
      if (draw(9) == 0) body += "{ L" + std::to_string(draw(3)) + ": }\n";
    }
    for (int i = 0; i < 3; ++i) body += "L" + std::to_string(i) + ":\n";
    Launch launch = launch_of(body, static_cast<std::uint32_t>(1 + draw(140)), 64, kOutside);
    launch.limit = 3000;
    launch.dynamic_shared = 4096;
    launch.grid = {2, 1, 1};
    launch.cluster = {static_cast<std::uint32_t>(1 + draw(2)), 1, 1};
    if (kernel % 3 == 0) launch.hazards = HazardSearch::on;
    const Outcome first = run(launch), second = run(launch);
    EXPECT_EQ(first.hazards, second.hazards) << body;
    EXPECT_EQ(first.fault, second.fault) << body;
    EXPECT_EQ(words_of(first), words_of(second)) << body;
    faults += first.fault.has_value();
  }
  EXPECT_GT(faults, 100u);
  EXPECT_LT(faults, 1500u);
}

TEST(Spelling, TensorOperationsOfEveryType) {
  const auto mma = [](const std::string& opcode, int d, const std::string& tail) {
    return decoded("wgmma.mma_async.sync.aligned." + opcode + " " + list("%r", 1, d) + ", " + tail +
                   ";");
  };
  EXPECT_EQ(mma("m64n64k32.f32.e4m3.e4m3", 32, "%rd1, %rd2, %p1, 1, 1"), "decoded");
  EXPECT_EQ(mma("m64n256k32.f32.e4m3.e5m2", 128, "{%r1,%r2,%r3,%r4}, %rd2, 1, 1, -1"), "decoded");
  EXPECT_EQ(mma("m64n128k16.f32.bf16.bf16", 64, "%rd1, %rd2, %p1, 1, 1, 0, 1"), "decoded");
  EXPECT_EQ(mma("m64n8k16.f32.f16.f16", 4, "{%r1,%r2,%r3,%r4}, %rd2, %p1, 1, 1, 1"), "decoded");
  EXPECT_EQ(mma("m64n16k8.f32.tf32.tf32", 8, "%rd1, %rd2, %p1, 1, 1"), "decoded");
  EXPECT_EQ(mma("m64n128k32.s32.s8.s8", 64, "%rd1, %rd2, %p1"), "decoded");
  EXPECT_NE(mma("m64n64k32.f32.e4m3.e4m3", 31, "%rd1, %rd2, %p1, 1, 1"), "decoded");
  EXPECT_NE(mma("m64n64k32.f32.e4m3.e4m3", 32, "%rd1, %rd2, %r1, 1, 1"), "decoded");
  for (const char* line :
       {"wgmma.fence.sync.aligned;", "wgmma.commit_group.sync.aligned;",
        "wgmma.wait_group.sync.aligned 1;",
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f1,%f2,%f3,%f4}, {%r1,%r2,%r3,%r4}, "
        "{%r5,%r6}, {%f1,%f2,%f3,%f4};",
        "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%f1,%f2,%f3,%f4}, {%r1,%r2,%r3,%r4}, "
        "{%r5,%r6}, {%f1,%f2,%f3,%f4};",
        "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%r1,%r2,%r3,%r4}, {%r1,%r2,%r3,%r4}, "
        "{%r5,%r6}, {%r1,%r2,%r3,%r4};",
        "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r1,%r2,%r3,%r4}, [%r5];",
        "ldmatrix.sync.aligned.m8n8.x4.trans.shared::cta.b16 {%r1,%r2,%r3,%r4}, [%r5+64];",
        "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r1}, [%r5];",
        "stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%r5], {%r1,%r2,%r3,%r4};",
        "movmatrix.sync.aligned.m8n8.trans.b16 %r1, %r2;"})
    EXPECT_EQ(decoded(line), "decoded") << line;
}

TEST(Spelling, WhatIsNotSupportedIsRefused) {
  for (const char* line : {"add.s33 %r1, %r2, %r3;",
                           "add.s32 %r1, %r2;",
                           "add.s32 %rd1, %r2, %r3;",
                           "mov.b128 %rd1, %rd2;",
                           "ld.global.u32 %rs1, [%rd1];",
                           "ld.global.v3.u32 {%r1,%r2,%r3}, [%rd1];",
                           "ld.global.u32 %r1, %rd1;",
                           "st.global.frob.u32 [%rd1], %r1;",
                           "bar.sync;",
                           "bra %r1;",
                           "shfl.bfly.b32 %r1, %r2, 1, 31;",
                           "mbarrier.frob.shared.b64 [%r1];",
                           "cp.async.ca.shared.global [%r1], [%rd1], 5;",
                           "elect.sync %r1, -1;",
                           "setp.lt.s32 %r1, %r2, %r3;",
                           "selp.b32 %r1, %r2, %r3, %r4;",
                           "call.uni k;",
                           "L: brx.idx %r1, L;",
                           "L: vote.ballot.b32 %r1, %p1;",
                           "cp.async.bulk.tensor.2d.shared::cta.global.mbarrier::complete_tx::"
                           "bytes [%r1], [%rd1, {%r2}], [%r4];",
                           "red.async.relaxed.cluster.global.add.u32 [%rd1], 1, [%r1];",
                           "mov.u32 %r1, %frob;",
                           "mov.u32 %r1, %p1;"})
    EXPECT_THAT(decoded(line), testing::StartsWith("k.ptx:")) << line;
}

}  // namespace
}  // namespace karat::ptx
