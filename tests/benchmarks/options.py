"""PPO's options in all rows: those of rayrl's defaults, which most implementations share."""

ENV = "CartPole-v1"
NUM_ENVS = 8
BATCH = 2048
MINIBATCH = 256
EPOCHS = 10
