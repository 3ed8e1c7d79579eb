"""Everything that flow-level synthesis varies, in one place: each field is a documented distribution.

``Range`` = uniform (low, high); ``LogRange`` = log-uniform (low, high); a float that ends in ``_chance``
is a probability. Pixels are those of a face crop 280 px wide, the scale of the field's corpora.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

Range = tuple[float, float]
LogRange = tuple[float, float]


class FlowConfig(BaseModel):
    """Distributions of flow-level synthesis (domain randomisation). Every sample draws all of them anew."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # output
    size: int = Field(28, description="side of a map, px: 28 to 224")
    phases: int = Field(2, description="1: onset->apex; 2: apex->offset too")
    supersample: int = Field(2, description="working resolution over output (1 from 112 px on)")
    stretch: bool = Field(
        True, description="min-max stretch each channel to 0..255; else px, no strain stretch"
    )

    takes: int = Field(16, description="neighbouring samples that share head, crop and estimator: for speed")

    # pool of cached heads
    identities: int = Field(96, description="subjects in the pool (drawn from seed_range)")
    in_turn: bool = Field(False, description="heads come in turn, so that every subject is there; else drawn")
    poses: int = Field(1, description="head poses cached for each subject and unit set")

    # what is performed
    amplitude: LogRange = Field((0.45, 8.0), description="peak of the main AU at the apex, px")
    amplitude_weak_chance: float = Field(0.12, description="an expression is scaled down by 0.2..0.6")
    apex_partial_chance: float = Field(0.3, description="the annotated apex is off: all AUs at 0.3..0.9")
    asynchrony: Range = Field((0.55, 1.0), description="share of each AU reached at the apex of the main one")
    style_jitter: float = Field(0.2, description="sd of log strength of each AU and side, per sample")
    local_jitter: Range = Field(
        (0.0, 0.35), description="smooth random bending of the expression's own field"
    )
    neutral_chance: float = Field(0.0, description="no expression at all (class null), for AU training")
    release_chance: float = Field(
        0.0, description="the first phase is the release of an expression: no class, no AU"
    )
    mirror_chance: float = Field(0.5, description="head and sides mirrored: no side is special")

    # what disturbs
    blink_chance: float = Field(0.5, description="a partial blink between the frames")
    blink_amplitude: LogRange = Field((0.5, 7.0), description="lid motion of a blink, px")
    lid_tension_chance: float = Field(0.4, description="lids tense, droop or widen a little, uncoded")
    lid_tension_amplitude: LogRange = Field((0.2, 2.0), description="px")
    gaze_chance: float = Field(0.25, description="the eyeballs turn")
    gaze_amplitude: LogRange = Field((0.3, 4.0), description="px")
    jaw_chance: float = Field(0.15, description="jaw or mouth drift")
    jaw_amplitude: LogRange = Field((0.1, 1.2), description="px")
    stray_chance: float = Field(0.25, description="one more AU, uncoded")
    stray_amplitude: LogRange = Field((0.08, 0.6), description="px")

    # head motion, not removed
    head_still_chance: float = Field(0.12, description="no head motion worth naming")
    head_translation: LogRange = Field((0.01, 0.6), description="in the image plane, px")
    head_rotation: LogRange = Field(
        (0.02, 0.5), description="about each axis, degrees; yaw and pitch: parallax"
    )
    head_scale: LogRange = Field((0.0001, 0.004), description="toward the camera, relative")
    head_removed_chance: float = Field(
        0.8, description="a similarity was fitted and taken out, all or in part"
    )
    crop_jitter: Range = Field((0.0, 0.3), description="the two frames were cropped apart, px")

    # camera and crop
    yaw: float = Field(6.0, description="sd of head pose, degrees")
    pitch: float = Field(7.0, description="sd, degrees")
    roll: float = Field(3.0, description="sd of in-plane rotation of the crop, degrees")
    distance: Range = Field((5.0, 18.0), description="camera to face, dm: perspective")
    crop_top: Range = Field((0.38, 0.95), description="upper edge above the eyes, inter-ocular distances")
    crop_bottom: Range = Field((1.2, 1.75), description="lower edge below the eyes")
    crop_half_width: Range = Field((0.8, 1.12), description="half the width")
    crop_square_chance: float = Field(0.6, description="the crop is square before resizing")
    crop_centre: float = Field(0.05, description="sd of the sideways offset")

    # appearance that the estimator works on
    contrast: LogRange = Field((0.5, 2.0), description="of brows, lips, eyes, hair against skin")
    skin_texture: LogRange = Field((0.01, 0.6), description="energy of pores and wrinkles, 1 = strong edges")
    texture_patchy: Range = Field((0.2, 1.2), description="how unevenly it lies (log sd)")
    background_texture: LogRange = Field((0.005, 0.5), description="energy of the background's texture")

    # a video codec before the estimator (0: none; corpora of the field keep raw pictures, videos do not)
    coded_chance: float = Field(0.0, description="the frames were coded as video")
    coded_block: Range = Field((2.5, 10.0), description="side of a block, % of the crop width")
    coded_skip: LogRange = Field((0.05, 0.9), description="least change of a coded block over the largest")
    coded_whole: Range = Field((0.0, 0.9), description="how much of a block moves as one, in quarter px")
    coded_scale: Range = Field((0.6, 1.6), description="px of the coded picture over px of 280")

    # the estimator
    exact_chance: float = Field(0.08, description="no estimator at all: the true field with noise")
    window: LogRange = Field(
        (0.7, 2.6), description="smoothing sigma of the fine level, % of the crop width x 2"
    )
    window_coarse: LogRange = Field((4.0, 13.0), description="sigma of the coarse level, % of the crop width")
    prior_fine: LogRange = Field((0.01, 0.6), description="pull of the fine level to the coarse one")
    prior_coarse: LogRange = Field((0.002, 0.15), description="pull of the coarse level to zero")
    median_chance: float = Field(0.35, description="median filter (TV-L1's)")
    staircase_chance: float = Field(0.3, description="detail soft-thresholded (total variation)")
    staircase: Range = Field((0.05, 0.5), description="threshold over detail sd")
    sensor_noise: LogRange = Field((0.003, 0.12), description="image noise over image gradient, px")
    coloured_noise: LogRange = Field((0.01, 0.14), description="smooth false motion, px")
    illumination_chance: float = Field(0.25, description="brightness changed between the frames")
    illumination: LogRange = Field((0.02, 0.5), description="pseudo-motion where image gradients are, px")
    outlier_chance: float = Field(0.12, description="blobs of garbage: hair, glasses, background, shadow")
    outlier: LogRange = Field((0.5, 6.0), description="px")
    spikes_chance: float = Field(0.15, description="single wild pixels, above all in hair and background")
    spikes: LogRange = Field((0.3, 5.0), description="px")
    border_chance: float = Field(0.12, description="garbage where motion enters or leaves at the crop's edge")
    border: LogRange = Field((0.1, 4.0), description="px")
    border_width: LogRange = Field((0.5, 3.0), description="% of the crop width")
    background_moves_chance: float = Field(0.1, description="the background follows the head")

    # the way to 28 px
    strain_early_chance: float = Field(0.6, description="strain before resizing (else after)")
    strain_grain: Range = Field(
        (0.0, 0.9), description="log sd of the grain of early strain: it was sampled finely"
    )
    pixel_noise_chance: float = Field(0.12, description="white noise left by resizing without antialias")
    pixel_noise: LogRange = Field((0.01, 0.12), description="over the channel's sd")
