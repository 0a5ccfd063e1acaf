# Which choices of the backward each preset's page makes, and those of edited recipes.

from backward import Choices
from casts import as_coded, entering_bf16, f16, fp4, given, per_block, per_rows
from flash import Fa3Bf16
from formats import e5m2_code, e5m2_decoded, e5m2_value
from fp8 import AttnQatFp8, CudnnFp8, FpsAttention
from nvfp4 import AttnQatNvfp4
from plain import FlexBf16
from sage import SageBwd
from steps import chain_ampere_f16, chain_s8, chain_wgmma_e4m3_e5m2, chain_wgmma_e5m2_e4m3

ATTN_QAT = Choices(p=entering_bf16(given(448)), delta="unquantised_p", lse="log2")
ATTN_QAT_NVFP4 = Choices(p=fp4, delta="unquantised_p", lse="log2")
FA3 = Choices(loop="key_blocks", block_q=80, block_k=128, exponent="fused", delta_sum="fused")
FLEX = Choices(block_q=64, block_k=64, query_order="partial_then_full", key_order="partial_then_full",
               delta_sum="pairwise")
CUDNN = Choices(loop="key_blocks", block_q=64, block_k=128, operand=as_coded,
                d_o=given(1024, e5m2_code, e5m2_decoded), p=given(448),
                ds=given(16384, e5m2_code, e5m2_decoded), softmax_scale="ds", promote="block",
                chains={"dp": chain_wgmma_e5m2_e4m3, "dv": chain_wgmma_e4m3_e5m2,
                        "dq": chain_wgmma_e5m2_e4m3, "dk": chain_wgmma_e5m2_e4m3},
                cast=e5m2_value)
TE = Choices(loop="key_blocks", block_q=64, block_k=128, scores="operands")
FPS_QAT = Choices(p=given(448), delta="unquantised_p")
FPS_STE = Choices(scores="operands")

SAGE_BWD = Choices(loop="key_blocks", operand=as_coded, v=lambda forward: f16(forward.given_v), d_o=per_rows(128),
                   do_in_dp=f16, p=per_block, ds=per_block, promote="block",
                   chains={"dp": chain_ampere_f16, "dv": chain_s8, "dq": chain_s8, "dk": chain_s8})

# Name: the forward's program and the backward's choices.
GRADIENTS = {
    "attn_qat_fp8": (AttnQatFp8, ATTN_QAT),
    "attn_qat_nvfp4": (AttnQatNvfp4, ATTN_QAT_NVFP4),
    "cudnn_fp8_hopper": (CudnnFp8, CUDNN),
    "fa3_bf16": (Fa3Bf16, FA3),
    "flex_bf16": (FlexBf16, FLEX),
    "fps_qat_fp8": (FpsAttention, FPS_QAT),
    "fps_ste_bf16": (FpsAttention, FPS_STE),
    "sage_bwd_int8": (SageBwd, SAGE_BWD),
    "te_delayed": (CudnnFp8, TE),
}
