"""Stacked VAEs: the only rooms that import TensorFlow and Keras.

Importing this package sets TensorFlow up: quiet, Keras on top of it, and one thread, which is
faster than several for these sizes and makes a result independent of the number of cores.
"""

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
