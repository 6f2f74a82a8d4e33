"""The task of models/iris.mlp as a scikit-learn script: python iris_scikit_learn.py iris.csv weights.npz."""

import csv
import sys

import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

with open(sys.argv[1], newline="") as file:
    header, *rows = csv.reader(file)
x = np.array([row[:4] for row in rows], dtype=float)
y = np.array([row[4] for row in rows])
x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, stratify=y, random_state=1)
scaler = StandardScaler().fit(x_train)
model = MLPClassifier(  # 200 epochs, whatever the loss does
    (16,), solver="adam", learning_rate_init=0.02, alpha=2e-4, batch_size=16, max_iter=200, tol=0.0, n_iter_no_change=1000, random_state=1
)
model.fit(scaler.transform(x_train), y_train)
for name, inputs, labels in (("train", x_train, y_train), ("test", x_test, y_test)):
    predicted = model.predict(scaler.transform(inputs))
    print(name, accuracy_score(labels, predicted))
    print(confusion_matrix(labels, predicted))
np.savez(sys.argv[2], *model.coefs_, *model.intercepts_)
