// Masks made of masks: text behind the video, another order, causal order, bands.
#pragma once

#include <memory>

#include "karat/mask/mask.hpp"

namespace karat::mask {

/// Text tokens in the same attention (HunyuanVideo, CogVideoX): video queries see `video`'s keys
/// and all text, text queries see every token, padding is in no pair.
/// @param order the video order `video` was made for, then append_text()
/// @throws Error(usage) when the order has no positions after the video's.
std::unique_ptr<Mask> with_text(std::unique_ptr<Mask> video, const video::TokenOrder& order);

/// A mask over tokens, seen over the positions of an order: positions (i, j) are kept where the
/// tokens at them are. Padding is in no pair.
/// @throws Error(usage) unless the mask has a row and a column per token of the order
std::unique_ptr<Mask> over_positions(std::unique_ptr<Mask> of_tokens,
                                     const video::TokenOrder& order);

/// What `base` keeps among positions that hold a token.
/// @throws Error(usage) unless the mask has a row and a column per position of the order
std::unique_ptr<Mask> without_padding(std::unique_ptr<Mask> base, const video::TokenOrder& order);

/// What `base` keeps, and only keys up to the query: key <= query + keys() - queries() by position
/// (the last query sees every key, as in FlashAttention).
std::unique_ptr<Mask> causal(std::unique_ptr<Mask> base);

/// What `base` keeps, and only keys at most `width` positions away or among the first `always`
/// positions. SparseVideoGen's spatial head: frame-major order, always = tokens of a frame;
/// temporal: the same in token-major order.
/// @throws Error(usage) when width or always is negative.
std::unique_ptr<Mask> band(std::unique_ptr<Mask> base, std::int64_t width, std::int64_t always);

/// SparseVideoGen's band: multiple * tokens of a frame, rounded up to 128.
/// @throws Error(usage) unless multiple is positive and finite.
std::int64_t band_width(double multiple, std::int64_t frame_tokens);

}  // namespace karat::mask
